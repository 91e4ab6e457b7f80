#!/usr/bin/perl
# Reads a firewall's log as the prototype did: a regular expression for each line, a queue of eight ports for each
# address, and Crypt::CBC for each full queue. Prints how many lines it read.
#
# usage: loop.pl FILE
use strict; use warnings;
use Crypt::CBC; use List::Util 'sum';

my $cipher = Crypt::CBC->new(-pass => 'knock', -cipher => 'Blowfish', -pbkdf => 'randomiv',
    -header => 'none', -iv => '01234567', -nodeprecate => 1);
my (%queue, $knocks);
while (my $line = <>) {
    my ($source, $port) = $line =~ /kernel: .*DENY IN=.* SRC=(\S+) .*PROTO=TCP .*DPT=(\d+) .*SYN / or next;
    next if $port < 745 or $port > 1000;
    my $queue = $queue{$source} //= [];
    push @$queue, $port;
    next if @$queue < 8;
    my @payload = unpack 'C*', $cipher->decrypt(pack 'C*', map { $_ - 745 } @$queue);
    if (@payload == 7 and sum(@payload[0 .. 5]) % 255 == $payload[6]) {
        $knocks++;
        @$queue = ();
    }
    else { shift @$queue }
}
print "$.\n";
