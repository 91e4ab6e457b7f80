#!/usr/bin/perl
# Writes ciphers.json: knocks made by Perl's Crypt::CBC with Crypt::DES and
# Crypt::Rijndael (the Debian packages libcrypt-cbc-perl, libcrypt-des-perl and
# libcrypt-rijndael-perl), in the key mode of the releases of 2003.
#
# usage: ciphers.pl > ciphers.json
use strict;
use warnings;
use Crypt::CBC;
use Crypt::DES;
use Crypt::Rijndael;
use JSON::PP;
use List::Util 'sum';

my $lowest = 745;
my @forms = (['DES', 'none', 8], ['DES', 'randomiv', 8], ['Rijndael', 'none', 16]);
srand 2003;

sub random_bytes { return map { int rand 256 } 1 .. shift }

my @vectors;
for my $n (0 .. 59) {
    my ($cipher, $header, $size) = @{ $forms[ $n % @forms ] };
    my $passphrase = join '', map { chr(33 + int rand 94) } 1 .. 1 + int rand 60;
    my @iv = random_bytes($size);
    @iv = unpack 'C*', '01234567' x ($size / 8) if $n < 6;
    my @payload = random_bytes(6);
    push @payload, sum(@payload) % 255;
    my $cbc = Crypt::CBC->new(
        -cipher => $cipher, -pbkdf => 'randomiv', -nodeprecate => 1,
        -header => $header, -iv => pack('C*', @iv), -pass => $passphrase,
    );
    my @message = unpack 'C*', $cbc->encrypt(pack 'C*', @payload);
    push @vectors, {
        cipher => $cipher, header => $header, passphrase => $passphrase, iv => \@iv,
        payload => \@payload, ciphertext => \@message, ports => [map { $lowest + $_ } @message],
    };
}
my $json = JSON::PP->new->canonical->latin1;
printf qq({"made_by": "testdata/ciphers.pl with Crypt::CBC %s, Crypt::DES %s and Crypt::Rijndael %s", "port_min": %d, "vectors": [\n%s\n]}\n),
    Crypt::CBC->VERSION, Crypt::DES->VERSION, Crypt::Rijndael->VERSION, $lowest,
    join ",\n", map { $json->encode($_) } @vectors;
