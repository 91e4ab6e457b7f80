package main

import "time"

// What the faults wait for.
const (
	grace = 10 * time.Second // after a port should have closed
	soon  = 5 * time.Second  // for a knock to open a port, or a daemon to give up
	heal  = 30 * time.Second // for rules that somebody took away
	long  = time.Minute      // an opening that outlives all that

	stopLimit = 90 * time.Second // systemd's own, before it kills
)

// faults lists the rows of the table.
func faults() []fault {
	whole := settings{life: long}
	return []fault{
		{title: "kill -9 of the daemon, a port open", measure: (*rig).killedAlone},
		{title: "kill -9 of it and its children, as systemd ends what is left", measure: (*rig).killedAll},
		{title: "the same, and a new start at once", settings: whole, measure: (*rig).revived},
		{title: "SIGTERM as systemd sends it, a port open; a new start", settings: whole, measure: (*rig).restarted},
		{title: "a second knock while a port is open", measure: (*rig).knockedTwice},
		{title: "`iptables -F`, a port open", settings: whole, measure: (*rig).flushed},
		{title: "the firewall loaded anew (iptables-restore), a port open", settings: whole, measure: (*rig).reloaded},
		{title: "a packet of the knock twice in a row", measure: (*rig).duplicated},
		{title: "a packet of the knock sent again after the next one", measure: (*rig).retransmitted},
		{title: "two packets of the knock swapped", measure: (*rig).swapped},
		{title: "the recorded knock again, after the port has closed", measure: (*rig).replayed},
		{title: "the same, `header = randomiv`", settings: settings{header: true}, ours: true, measure: (*rig).replayed},
		{title: "SIGHUP with a broken configuration file", measure: (*rig).reconfigured},
		{title: "the interface goes down and up", measure: (*rig).unplugged},
		{title: "the interface is removed and made anew", measure: (*rig).replaced},
		{title: "the disk with its state is full", measure: (*rig).filled},
		{title: "the disk with the firewall's log is full", settings: settings{logDisk: true}, ours: true,
			measure: (*rig).filled},
		{title: "a flood of first packets, each from another address, with knocks in it", settings: whole, alone: true,
			measure: (*rig).flooded},
	}
}
