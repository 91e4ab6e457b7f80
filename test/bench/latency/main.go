// Latency measures how long a knock takes to open a port: the time from its last SYN to a connection that is accepted,
// tried afresh each millisecond. Three contenders take turns, so that whatever else the machine does hits them alike:
//
//   - knockdaemon, which reads the log that rsyslogd writes, eight SYNs a knock;
//   - knockd, Debian's, which reads the network interface, three SYNs a knock;
//   - the floor: a program that does nothing but run iptables at the sight of one SYN. No daemon that changes the
//     firewall by running iptables is quicker.
//
// They run on one of two hosts that are network namespaces of this machine. It must be run by root; latency.sh beside
// this directory builds what it needs and runs it. What it measures with (a SYN, a connection try) is in probe.go, the
// hosts and their programs are in lab.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// What knockdaemon is to keep to.
const (
	maxOfKnockd = 0.5 // of knockd's median
	maxOfFloor  = 3.0 // of the floor's
)

var errMissed = errors.New("knockdaemon is too slow")

type options struct {
	bin     string // the directory of knockclient and knockdaemon
	rsyslog string // the example's rsyslog.conf
	rounds  int
	check   bool
	floor   int // not 0: be the floor
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "", "knockclient and knockdaemon are in `DIRECTORY`")
	flag.StringVar(&o.rsyslog, "rsyslog", "examples/rsyslog.conf", "rsyslogd's rules for the log, in `FILE`")
	flag.IntVar(&o.rounds, "rounds", 20, "`NUMBER` of knocks that each contender is measured with")
	flag.BoolVar(&o.check, "check", false, "fail if knockdaemon is too slow")
	flag.IntVar(&o.floor, "floor", 0, "be the floor: open the port at a SYN to `PORT` (for this program's own use)")
	flag.Parse()
	ctx, stop := context.Background(), func() {}
	if o.floor == 0 { // it has nothing to clean up: it ends with the signal
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	}
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "latency: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	switch {
	case o.floor != 0:
		return beFloor(o.floor)
	case o.rounds < 1:
		return fmt.Errorf("-rounds is %d, want 1 or more", o.rounds)
	case flag.NArg() > 0:
		return fmt.Errorf("%q is one argument too many: this program takes flags only", flag.Arg(0))
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.tearDown()) }()
	contenders, err := l.start()
	if err != nil {
		return err
	}
	if err := l.measure(ctx, contenders, o.rounds); err != nil {
		return err
	}
	return report(out, contenders, o.check)
}

// A contender opens the port to a knock.
type contender struct {
	name  string
	ports []int        // of its knock
	close func() error // ends what the knock began
	times []time.Duration
}

// measure lets the contenders take turns. The first round is not counted: a program's first time is not its usual one,
// and it may not have been quite ready.
func (l *lab) measure(ctx context.Context, contenders []*contender, rounds int) error {
	for round := range rounds + 1 {
		for _, c := range contenders {
			tries := 1
			if round == 0 {
				tries = 5
			}
			took, err := l.turn(c, tries)
			if ctx.Err() != nil { // Ctrl-C also ended what was running: err says nothing
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("failed to measure %s, round %d: %w", c.name, round, err)
			}
			if round > 0 {
				c.times = append(c.times, took)
			}
		}
	}
	return nil
}

// turn knocks, once if all is well, and closes the port again.
func (l *lab) turn(c *contender, tries int) (took time.Duration, err error) {
	if err := l.wantClosed(); err != nil {
		return 0, err
	}
	for range tries {
		err = l.laptop.enter(func() (err error) {
			took, err = l.probe.knock(c.ports)
			return err
		})
		if !errors.Is(err, errClosed) {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	if err := c.close(); err != nil {
		return 0, fmt.Errorf("failed to close the port again: %w", err)
	}
	return took, eventually("the port to be closed again", func() bool { return l.wantClosed() == nil })
}

// report prints the times and ratios of knockdaemon, knockd and the floor, which come in this order.
func report(w io.Writer, contenders []*contender, check bool) error {
	fmt.Fprintf(w, "From the last SYN to a usable port, in ms, %d knocks each, in turn:\n", len(contenders[0].times))
	fmt.Fprintf(w, "%-12s %8s %8s %8s\n", "", "min", "median", "max")
	var medians []float64
	for _, c := range contenders {
		slices.Sort(c.times)
		medians = append(medians, median(c.times))
		fmt.Fprintf(w, "%-12s %8.2f %8.2f %8.2f\n", c.name, ms(c.times[0]), median(c.times), ms(c.times[len(c.times)-1]))
	}
	ofKnockd, ofFloor := medians[0]/medians[1], medians[0]/medians[2]
	fmt.Fprintf(w, "%-24s %.2f  (wanted: under %.1f)\n", contenders[0].name+" / "+contenders[1].name, ofKnockd, maxOfKnockd)
	fmt.Fprintf(w, "%-24s %.2f  (wanted: at most %.0f)\n", contenders[0].name+" / "+contenders[2].name, ofFloor, maxOfFloor)
	if check && (ofKnockd >= maxOfKnockd || ofFloor > maxOfFloor) {
		return errMissed
	}
	return nil
}

// median gives that of sorted times, in ms.
func median(times []time.Duration) float64 {
	n := len(times)
	return (ms(times[(n-1)/2]) + ms(times[n/2])) / 2
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
