#!/usr/bin/perl
# Knocks at a host as the first clients did: Crypt::CBC makes the message, and
# plain sockets send it, one after another. The passphrase is $KNOCK_KEY.
#
#     knock.pl none|randomiv IP PORT TIME HOST
use strict;
use warnings;
use Crypt::CBC;
use Crypt::Blowfish;
use IO::Socket::INET;

my $lowest  = 745;
my $patience = 0.2; # seconds: the kernel sends a second SYN after one

my ($header, $ip, $port, $time, $host) = @ARGV;
my @payload = (split(/\./, $ip), $port, $time);
my $sum = 0;
$sum += $_ for @payload;

my %iv = $header eq 'none' ? (-iv => '01234567') : ();
my $cbc = Crypt::CBC->new(
    -cipher => 'Blowfish', -pbkdf => 'randomiv', -nodeprecate => 1,
    -header => $header, -pass => $ENV{KNOCK_KEY}, %iv,
);
my $message = $cbc->encrypt(pack 'C*', @payload, $sum % 255);
for my $knock (map { $lowest + $_ } unpack 'C*', $message) {
    my $socket = IO::Socket::INET->new(
        PeerAddr => $host, PeerPort => $knock, Proto => 'tcp', Timeout => $patience,
    );
    die "port $knock of $host is open\n" if $socket;
}
