// Package journal keeps what must outlive the process in one small file, which is replaced at one stroke, and tells the
// time by a clock that nobody can set.
//
// The file is a line with its form, version and the SHA-256 of the rest, then JSON. After a power cut either the old
// one is there or the new one. One that cannot be used is set aside, for somebody to look at, and never believed in
// part.
//
// What stands in a journal, when it is written, and how long is left of what it holds in another boot, is left to those
// who keep one.
package journal
