#!/usr/bin/perl
# Makes and reads knocks with the real Crypt::CBC. Each line of standard input is
#
#     seal CIPHER HEADER PASSPHRASE IV IP PORT TIME
#     open CIPHER HEADER PASSPHRASE IV KNOCK...
#
# PASSPHRASE and IV in hexadecimal, all else in decimal. Each line of standard
# output is the knocks of a seal, or the "IP PORT TIME" of an open, which dies of a
# wrong checksum.
use strict;
use warnings;
use Crypt::CBC;
use Crypt::Blowfish;
use Crypt::DES;
use Crypt::Rijndael;

my $lowest = 745;

sub checksum { my $sum = 0; $sum += $_ for @_; return $sum % 255 }

my %verbs = (
    seal => sub {
        my ($cbc, $ip, @rest) = @_;
        my @payload = (split(/\./, $ip), @rest);
        my $message = $cbc->encrypt(pack 'C*', @payload, checksum(@payload));
        return map { $lowest + $_ } unpack 'C*', $message;
    },
    open => sub {
        my ($cbc, @knocks) = @_;
        my @payload = unpack 'C*', $cbc->decrypt(pack 'C*', map { $_ - $lowest } @knocks);
        my $checksum = pop @payload;
        die "line $.: payload @payload, checksum $checksum\n"
            unless @payload == 6 && $checksum == checksum(@payload);
        return join('.', @payload[0 .. 3]), @payload[4, 5];
    },
);

while (my $line = <STDIN>) {
    chomp $line;
    my ($verb, $cipher, $header, $passphrase, $iv, @arguments) = split / /, $line;
    $_ = pack 'H*', $_ for $passphrase, $iv;
    # The passphrase goes in twice because Crypt::CBC takes a -pass that is false
    # to Perl, which is "0" here, for none, and looks at -key then.
    my $cbc = Crypt::CBC->new(
        -cipher => $cipher, -pbkdf => 'randomiv', -nodeprecate => 1,
        -header => $header, -iv => $iv, -pass => $passphrase, -key => $passphrase,
    );
    my $do = $verbs{$verb} or die "line $.: unknown verb $verb\n";
    print join(' ', $do->($cbc, @arguments)), "\n";
}
