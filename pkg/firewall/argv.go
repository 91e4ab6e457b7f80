package firewall

import (
	"strconv"
	"time"
)

// dateForm is a date as iptables takes and prints it.
const dateForm = "2006-01-02T15:04:05"

var (
	// firstStop is the earliest date put into a rule: 0 means none to iptables.
	firstStop = time.Unix(1, 0)
	// lastStop is the latest that every iptables takes: some keep it in 32 bits
	// with a sign, where the next second stands for none.
	lastStop = time.Unix(1<<31-2, 0)
)

// ruleArgs is e as iptables takes it and as it prints it, so that a rule read
// back can be compared word by word. Without xt_time (timed) it has no end.
func ruleArgs(e Entry, timed bool) []string {
	args := []string{"-s", e.Src.String() + "/32"}
	target := "ACCEPT"
	if e.Action == Drop {
		target = "DROP"
		args = append(args, "-m", "conntrack", "--ctstate", "NEW")
	} else {
		args = append(args, "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(int(e.Port)))
	}
	if timed {
		args = append(args, endArgs(e.End)...)
	}
	return append(args, "-m", "comment", "--comment", comment, "-j", target)
}

// endArgs makes a rule stop at end, cut to the second: the second that is named
// still matches, so it is the one before. Past lastStop there is nothing to
// name: better a rule that only the daemon ends than, from then on, no rule.
func endArgs(end time.Time) []string {
	stop := end.Truncate(time.Second).Add(-time.Second)
	if end.IsZero() || stop.After(lastStop) {
		return nil
	}
	if stop.Before(firstStop) {
		stop = firstStop
	}
	return []string{"-m", "time", "--datestop", stop.UTC().Format(dateForm)}
}

// putArgs puts e into its place. An accept goes to the top: straight in INPUT it
// must come before the administrator's own DROP. A drop goes to the end, so
// that accepts win.
func putArgs(chain string, e Entry, timed bool) []string {
	option := "-I"
	if e.Action == Drop {
		option = "-A"
	}
	return append([]string{option, chain}, ruleArgs(e, timed)...)
}

func deleteArgs(chain string, e Entry, timed bool) []string {
	return append([]string{"-D", chain}, ruleArgs(e, timed)...)
}

func jumpArgs(chain string) []string {
	return []string{"-m", "comment", "--comment", comment, "-j", chain}
}

// insertJumpArgs makes the jump the rule of INPUT with the given number, from 1.
func insertJumpArgs(chain string, number int) []string {
	return append([]string{"-I", input, strconv.Itoa(number)}, jumpArgs(chain)...)
}

func deleteJumpArgs(chain string) []string {
	return append([]string{"-D", input}, jumpArgs(chain)...)
}

// probeArgs is a rule that does nothing: it has no target, and with the end no
// packet since 1971 matches.
func probeArgs(chain, option string, timed bool) []string {
	args := []string{option, chain, "-s", "0.0.0.0/32"}
	if timed {
		args = append(args, "-m", "time", "--datestop", "1971-01-01T00:00:00")
	}
	return append(args, "-m", "comment", "--comment", comment)
}
