#!/usr/bin/perl
# Encrypts and decrypts with the real Crypt::CBC. Each line of standard input is
#
#     encrypt CIPHER HEADER PASSPHRASE IV PLAINTEXT
#     decrypt CIPHER HEADER PASSPHRASE IV CIPHERTEXT
#
# the last three in hexadecimal, "-" for nothing; each line of standard output is
# the outcome in hexadecimal, "-" for nothing.
use strict;
use warnings;
use Crypt::CBC;
use Crypt::Blowfish;
use Crypt::DES;
use Crypt::Rijndael;

sub unhex { my $text = shift; return $text eq '-' ? '' : pack 'H*', $text }

while (my $line = <STDIN>) {
    chomp $line;
    my ($verb, $cipher, $header, @hex) = split / /, $line;
    my ($passphrase, $iv, $data) = map { unhex($_) } @hex;
    # The passphrase goes in twice because Crypt::CBC takes a -pass that is false
    # to Perl, which is "0" here, for none, and looks at -key then.
    my $cbc = Crypt::CBC->new(
        -cipher => $cipher, -pbkdf => 'randomiv', -nodeprecate => 1,
        -header => $header, -iv => $iv, -pass => $passphrase, -key => $passphrase,
    );
    my $outcome = $verb eq 'encrypt' ? $cbc->encrypt($data)
                : $verb eq 'decrypt' ? $cbc->decrypt($data)
                : die "line $.: unknown verb $verb\n";
    print length $outcome ? unpack('H*', $outcome) : '-', "\n";
}
