// Package keygen makes a key, and says what to write about it at both ends.
//
// A key is 256 bits of the system's randomness, written as one line of base64: that is text, so that it can be typed,
// and it has neither the quotes nor the blanks that a configuration file would take off.
//
// What is in a configuration file is not looked at here, and none is changed.
package keygen
