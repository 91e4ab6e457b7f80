// Package cryptcbc reads and writes what Perl's Crypt::CBC makes with Blowfish,
// DES or Rijndael, its original key derivation and its standard padding. It is for
// talking to old Perl programs and for reading the data they left behind.
//
// Crypt::CBC has done this since release 2.05 (2002); releases 3.x do it when
// told so:
//
//	Crypt::CBC->new(-pass => $passphrase, -cipher => 'Blowfish',
//	    -pbkdf => 'randomiv', -header => 'none', -iv => $iv)
//
// The -cipher may also be 'DES' or 'Rijndael', which Perl has from Crypt::DES and
// Crypt::Rijndael; they are the same but for the lengths of their keys and blocks:
//
//	            key       block
//	Blowfish    56 bytes   8 bytes    New
//	DES          8 bytes   8 bytes    NewDES
//	Rijndael    32 bytes  16 bytes    NewRijndael
//
// The key is made of the passphrase with MD5 ([Key]). The plaintext is padded
// with n bytes of value n, from 1 to as many as a block has, so that a ciphertext
// is always that much longer than its plaintext. The initialization vector (IV) is
// either known to both sides ([Cipher.Encrypt], Perl's header "none") or travels in
// front of the ciphertext ([Cipher.EncryptRandomIV], Perl's header "randomiv",
// prepend_iv => 1 in the old releases):
//
//	"RandomIV" | IV | ciphertext
//	 8 bytes     8    8, 16, 24, ...
//
// Crypt::CBC makes the latter with blocks of 8 bytes only.
//
// The old releases let an IV be shorter than a block. Such an IV of n bytes is
// XORed onto the first n bytes of the first block alone, and written into the
// message as it is. No release of Crypt::CBC decrypts its own messages with a
// short IV, nor does 3.04 decrypt any with the header "randomiv"; this package
// does both. The length of a short IV is not in the message: the reader has to
// know it.
//
// Not here: other ciphers, Crypt::CBC's "salt" header (the format of OpenSSL),
// its newer key derivations and its other paddings. What is encrypted means
// nothing to this package.
//
// # Security
//
// Do not make anything new with this. The key derivation is fast, so a recorded
// message lets anyone guess at the passphrase; Blowfish has blocks of 64 bits, and
// DES so short a key that all of them can be tried; and nothing is authenticated,
// so that whoever can change an IV in transit changes the same bits of the first
// block of plaintext. Padding is checked in variable time: do not tell a stranger
// that it was wrong.
package cryptcbc
