// Package knock turns a request to a firewall, "open port 22 for 192.0.2.1 for
// 15 minutes", into the sequence of TCP ports that says so, and back. It is the
// reference for the format; every side of a conversation can be written with it.
//
// A [Payload] is 7 bytes:
//
//	IP1 IP2 IP3 IP4 PORT TIME CHECKSUM
//
// The CHECKSUM is the sum of the six others modulo 255 (not 256). These bytes
// are encrypted as Perl's Crypt::CBC does it with Blowfish (see
// [github.com/portknock/knock/pkg/cryptcbc]) or another [Cipher], and each byte b of the outcome is
// one knock: an attempt to connect to TCP port 745+b, so to one of 745 to 1000.
// The lowest port can be another.
//
// There are two forms, which both sides agree on beforehand:
//
//   - [HeaderNone]: 8 knocks. Both sides know the IV, [DefaultIV] if nothing else
//     was agreed. The same payload is the same sequence each time.
//   - [HeaderRandomIV]: 16+n knocks. The eight bytes "RandomIV", an IV of n bytes
//     (8, unless 1 to 7 were agreed), then the ciphertext.
//
// [CipherRijndael] has the first of them only, in 16 knocks.
//
// [Codec.Seal] makes a sequence and [Codec.Open] reads one. Open is made to be
// called on every window of a stream of noise. It is strict: the padding, the
// length of the payload and the checksum must all be right, and [Codec.Open]
// says which was not. Even so a random window of 8 knocks passes about one time
// in 65,536; so who may open what is for the caller to check, and so is whether
// a sequence has been seen before.
//
// Not here: sending knocks, seeing them in a log, putting them together by source
// address (all of them I/O or policy), and acting on a payload.
package knock
