// Peers shows what knockdaemon and its elders, Debian's knockd and fwknopd, do under faults: each is provoked on two
// throw-away hosts, network namespaces of this machine, and what a client of the daemon would see is measured. The
// hosts are in lab.go, the daemons in files of their own, the faults in the others.
//
// It must be run by root; run.sh beside it builds what it needs and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/portknock/knock/test/logswitch"
)

type options struct {
	bin       string // the directory of knockclient and knockdaemon
	rsyslog   string // the example's rsyslog.conf
	syns      int    // in a flood
	datagrams int    // in a flood of fwknopd's
	parallel  int
	only      *regexp.Regexp
}

func main() {
	o := options{only: regexp.MustCompile("")}
	flag.StringVar(&o.bin, "bin", "", "knockclient and knockdaemon are in `DIRECTORY`")
	flag.StringVar(&o.rsyslog, "rsyslog", "examples/rsyslog.conf", "rsyslogd's rules for the log, in `FILE`")
	flag.IntVar(&o.syns, "syns", 200_000, "`NUMBER` of SYNs of a flood")
	flag.IntVar(&o.datagrams, "datagrams", 20_000, "`NUMBER` of datagrams of a flood, for fwknopd")
	flag.IntVar(&o.parallel, "parallel", 6, "`NUMBER` of labs at a time")
	flag.Func("only", "measure only the faults that match the regular `EXPRESSION`", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "peers: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is one argument too many: this program takes flags only", flag.Arg(0))
	}
	contenders, err := findContenders(o)
	if err != nil {
		return err
	}
	unlog, err := logswitch.On()
	if err != nil {
		return fmt.Errorf("failed to have the kernel log what namespaces drop: %w", err)
	}
	defer func() { err = errors.Join(err, unlog()) }()
	var chosen []fault
	for _, f := range faults() {
		if o.only.MatchString(f.title) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return errors.New("no fault has that name")
	}
	t := newTable(chosen, contenders)
	err = t.measure(ctx, o)
	t.print(os.Stdout)
	return err
}

// findContenders gives those that are compared, with their versions.
func findContenders(o options) ([]contender, error) {
	contenders := []contender{
		{life: 3 * time.Second, make: newKnockd},
		{life: 3 * time.Second, make: newFwknopd},
		{title: "knockdaemon", life: time.Minute, make: newKnockdaemon},
	}
	for i, command := range [][]string{{"knockd", "-V"}, {"fwknopd", "--version"}} {
		out, err := output("", exec.Command(command[0], command[1:]...))
		if err != nil {
			return nil, err
		}
		version := regexp.MustCompile(`[0-9]+(\.[0-9]+)+`).FindString(out)
		contenders[i].title = command[0] + " " + version
	}
	return contenders, nil
}
