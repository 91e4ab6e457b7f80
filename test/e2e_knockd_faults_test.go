package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A sequenceFault is what comes beside or in a sequence, and how many rules there are for its sender then.
type sequenceFault struct {
	send func(knock []segment) []segment // knock is 7000, 8000, 9000 of the laptop
	want int                             // by ours
	same bool                            // by knockd too
}

func through(from string, first, last int) (scan []segment) {
	for port := first; port <= last; port++ {
		scan = append(scan, syns(from, uint16(port))...)
	}
	return scan
}

// joined puts lists of segments one after the other.
func joined(lists ...[]segment) (all []segment) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

var sequenceFaults = map[string]sequenceFault{
	"nothing": {func(k []segment) []segment { return k }, 1, true},
	"a packet twice": {func(k []segment) []segment {
		return []segment{k[0], k[0], k[1], k[1], k[2], k[2]}
	}, 1, false},
	"a packet sent again after the next": {func(k []segment) []segment {
		return []segment{k[0], k[1], k[0], k[2], k[1]}
	}, 1, false},
	"a stray packet to another port": {func(k []segment) []segment {
		return joined(k[:1], syns(laptopIP, 1234), k[1:])
	}, 1, false},
	"a stray packet to the port beside": {func(k []segment) []segment {
		return joined(k[:1], syns(laptopIP, 8001), k[1:])
	}, 1, false},
	"a stray packet to a port of another section": {func(k []segment) []segment {
		return joined(k[:1], syns(laptopIP, 9500), k[1:])
	}, 1, false},
	"the last of an earlier try": {func(k []segment) []segment {
		return joined(syns(laptopIP, 7000, 8000, 7000), k[1:])
	}, 1, false},
	"a scan before": {func(k []segment) []segment { return joined(through(laptopIP, 1, 1000), k) }, 1, false},
	"a scan of the same ports before": {func(k []segment) []segment {
		return joined(through(laptopIP, 6990, 7010), k)
	}, 1, false},
	"a scan after": {func(k []segment) []segment { return joined(k, through(laptopIP, 1, 1000)) }, 1, false},
	"a scan of ports far off in between": {func(k []segment) []segment {
		return joined(k[:2], through(laptopIP, 2000, 2099), k[2:])
	}, 1, false},
	"a scan that tries what scans try in between": {func(k []segment) []segment {
		return joined(k[:2], through(laptopIP, 1, 1000), k[2:])
	}, 0, false},
	"a scan by somebody else in between": {func(k []segment) []segment {
		return joined(k[:1], through(strangerIP, 1, 300), k[1:2], through(strangerIP, 6900, 9100), k[2:])
	}, 1, true},
	"the wrong order":    {func(k []segment) []segment { return []segment{k[0], k[2], k[1]} }, 0, false},
	"a scan of 1..10000": {func([]segment) []segment { return through(laptopIP, 1, 10000) }, 0, false},
	"a scan of 10000..1": {func([]segment) []segment { return reversed(through(laptopIP, 1, 10000)) }, 0, false},
	"a scan that tries all ports twice": {func([]segment) []segment {
		return joined(through(laptopIP, 6000, 9500), through(laptopIP, 6000, 9500))
	}, 0, false},
	"two others in turn": {func(k []segment) (all []segment) {
		a, b := syns(strangerIP, 7000, 8000, 9000), syns(otherIP, 7000, 8000, 9000)
		for i := range k {
			all = append(all, k[i], a[i], b[i])
		}
		return all
	}, 1, true},
	"two at once": {func(k []segment) (all []segment) {
		for i, s := range syns(laptopIP, 7000, 8000, 9000) {
			all = append(all, k[i], s)
		}
		return all
	}, 2, false},
	"one after the other": {func(k []segment) []segment { return joined(k, syns(laptopIP, 7000, 8000, 9000)) }, 2, true},
}

func reversed(list []segment) []segment {
	var back []segment
	for _, s := range list {
		back = append([]segment{s}, back...)
	}
	return back
}

// Two sections: the one that is looked at, and one that other ports are watched for.
var faultConf = "[open]\n\tsequence = 7000,8000,9000\n\tseq_timeout = 30\n\ttcpflags = syn\n\tcommand = " + ruleFor("A", 22) + "\n" +
	"[other]\n\tsequence = 9500,9600,9700\n\tseq_timeout = 30\n\ttcpflags = syn\n\tcommand = " + ruleFor("A", 23) + "\n"

// What breaks a sequence for knockd breaks none here, and a scan completes none.
func TestSequenceFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range sequenceFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newSniffLab(t)
			d := l.sniffer(l.knockdConf("[options]\n" + faultConf))
			l.suffer(fault, func() bool { return d.accepted(lastIP) > 0 })
			if got := d.accepted(laptopIP); got != fault.want {
				t.Errorf("knockdaemon found %d sequences, want %d", got, fault.want)
			}
			d.stop()
			if got := l.accepted(laptopIP, 22) > 0; got != (fault.want > 0) {
				t.Errorf("port 22 is open: %t", got)
			}
			if name == "two others in turn" && d.accepted(strangerIP)+d.accepted(otherIP) != 2 {
				t.Error("the others have not opened")
			}
		})
		t.Run(name+", knockd", func(t *testing.T) {
			t.Parallel()
			l := newSniffLab(t)
			k := l.knockd(faultConf)
			l.suffer(fault, func() bool { return k.sesames(lastIP) > 0 })
			got := k.sesames(laptopIP)
			t.Logf("knockd found %d sequences, knockdaemon %d", got, fault.want)
			if fault.same && got != fault.want {
				t.Errorf("knockd found %d sequences, want %d", got, fault.want)
			}
			if name == "a scan of 1..10000" && got == 0 {
				t.Error("knockd is not opened by a scan, as the README says")
			}
		})
	}
}

// lastIP knocks when all else has been sent.
const lastIP = "192.0.2.77"

// suffer sends what a fault is, and then what shows that it has been looked at.
func (l *lab) suffer(f sequenceFault, seen func() bool) {
	l.t.Helper()
	all := f.send(syns(laptopIP, 7000, 8000, 9000))
	pause := 3 * time.Millisecond
	if len(all) > 100 {
		pause = 100 * time.Microsecond
	}
	l.sendEvery(pause, all...)
	l.send(syns(lastIP, 7000, 8000, 9000)...)
	eventually(l.t, "the last knock", seen)
}

// A command that hangs or fails is its client's own matter.
func TestSequenceCommandsThatHangOrFail(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	script := writeTemp(t, l.dir, "start", fmt.Sprintf("#!/bin/sh\ncase $1 in %s) sleep 1000;; %s) exit 3;; esac\n%s\n",
		laptopIP, strangerIP, strings.ReplaceAll(ruleFor("A", 22), "%IP%", "$1")), 0o755)
	text := "[open]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n\tstart_command = " + script + " %IP%\n\tcmd_timeout = 1\n\tstop_command = /bin/sh -c \"echo %IP% >> " + filepath.Join(l.dir, "stops") + "\"\n"
	d := l.sniffer(l.knockdConf("[options]\n"+text), "-command-limit", "3")
	for _, from := range []string{laptopIP, strangerIP, otherIP} {
		l.send(syns(from, 7000, 8000, 9000)...)
	}
	l.wantAccepted(otherIP, 22, 1)
	failed := func(src, want string) {
		t.Helper()
		eventually(t, "the end of the command for "+src, func() bool {
			for _, e := range d.events() {
				if e["msg"] == "command start failed" && e["src"] == src {
					if got, _ := e["error"].(string); !strings.Contains(got, want) {
						t.Errorf("%s: %q, want %q", src, got, want)
					}
					return true
				}
			}
			return false
		})
	}
	failed(strangerIP, "exit status 3")
	failed(laptopIP, "no end after 3s")
	stopped := filepath.Join(l.dir, "stops")
	for _, src := range []string{laptopIP, strangerIP, otherIP} { // it is undone whatever became of it
		eventually(t, "the stop command for "+src, func() bool { return contains(stopped, src+"\n") })
	}
	if a, b := l.accepted(laptopIP, 22), l.accepted(strangerIP, 22); a+b != 0 {
		t.Errorf("%d and %d rules of commands that were killed or failed", a, b)
	}

	theirs := newSniffLab(t)
	k := theirs.knockd(strings.ReplaceAll(text, l.dir, theirs.dir))
	if err := os.WriteFile(filepath.Join(theirs.dir, "start"), []byte(mustRead(t, script)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{laptopIP, strangerIP, otherIP} {
		theirs.send(syns(from, 7000, 8000, 9000)...)
	}
	theirs.wantAccepted(otherIP, 22, 1)
	t.Logf("knockd: sequences found %d, %d, %d", k.sesames(laptopIP), k.sesames(strangerIP), k.sesames(otherIP))
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Killed with all that it has started, between the start and the stop command, and started again: the stop command runs.
func TestSequenceStopAfterKill(t *testing.T) {
	t.Parallel()
	const wait = 3
	text := fmt.Sprintf("[open]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n\tstart_command = %s\n\tcmd_timeout = %d\n\tstop_command = %s\n",
		ruleFor("A", 22), wait, ruleFor("D", 22))
	l := newSniffLab(t)
	conf := l.knockdConf("[options]\n" + text)
	d := l.sniffer(conf)
	l.send(syns(laptopIP, 7000, 8000, 9000)...)
	d.next("command started")
	l.wantAccepted(laptopIP, 22, 1)
	d.kill()
	d = l.sniffer(conf)
	l.wantAccepted(laptopIP, 22, 0)
	d.next("command stopped")
	d.stop()

	theirs := newSniffLab(t)
	k := theirs.knockd(text)
	theirs.send(syns(laptopIP, 7000, 8000, 9000)...)
	theirs.wantAccepted(laptopIP, 22, 1)
	opened := time.Now()
	if err := syscall.Kill(-k.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(k.log); err != nil {
		t.Fatal(err)
	}
	again := theirs.knockd(text)
	theirs.send(syns(otherIP, 7000, 8000, 9000)...)
	theirs.wantAccepted(otherIP, 22, 1)
	theirs.wantAccepted(otherIP, 22, 0) // its time is up, so the other's is long over
	t.Logf("knockd: %d rules %v after it opened, %d sequences since", theirs.accepted(laptopIP, 22), time.Since(opened).Round(time.Second), again.sesames(otherIP))
}

// Who knocks again has what was done for him undone first; and the end of the daemon undoes all, unless it is to keep it.
func TestSequenceStopAtTheEnd(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	conf := l.knockdConf(fmt.Sprintf("[options]\n[open]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n"+
		"\tstart_command = %s\n\tcmd_timeout = 600\n\tstop_command = %s\n", ruleFor("A", 22), ruleFor("D", 22)))
	before := l.rules()
	d := l.sniffer(conf)
	l.knockWith(gateIP, "7000", "8000", "9000")
	d.next("command started")
	l.knockWith(gateIP, "7000", "8000", "9000")
	d.next("command stopped")
	d.next("command started")
	l.send(syns(otherIP, 7000, 8000, 9000)...)
	d.next("command started")
	if a, b := l.accepted(laptopIP, 22), l.accepted(otherIP, 22); a != 1 || b != 1 {
		t.Errorf("%d and %d rules, want one each", a, b)
	}
	d.stop()
	l.wantBefore(before)

	d = l.sniffer(conf, "-on-stop", "keep")
	l.knockWith(gateIP, "7000", "8000", "9000")
	d.next("command started")
	d.stop()
	if got := l.accepted(laptopIP, 22); got != 1 {
		t.Errorf("%d rules, want 1: on-stop is keep", got)
	}
	d = l.sniffer(conf)
	d.stop()
	l.wantBefore(before)
}
