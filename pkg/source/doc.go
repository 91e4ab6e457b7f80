// Package source brings the lines of a firewall's log to whoever decodes
// them: live, through every way a log is rotated, replaced or restored
// ([Follower]), from the kernel itself ([Kmsg]), or from a file read once to its
// end ([Blocks], [Lines]). It knows bytes and newlines only: what a line says, and
// whether its stamp is too old to be believed, is for others to judge.
//
// A line is delivered once, whole and after its newline, or not at all. No
// piece of a line is ever handed on as a line: log text is chosen by strangers,
// and where it is cut must not decide what it means.
//
// Of github.com/nxadm/tail only the inotify watcher is used. Its line reader
// keeps an overlong line whole in memory or hands out its pieces as lines,
// forgets what is still written to a renamed file, and ends the process when a
// stat fails at the wrong moment.
//
// That watcher is shared by the whole process and, once started, lives as long
// as the process does. One path should have one Follower: two would take each
// other's events and be as slow as the watchdog.
package source
