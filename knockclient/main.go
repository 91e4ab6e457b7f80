// Knockclient knocks at a host, which opens a port if it understands the knock.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/portknock/knock/pkg/client"
	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

const program = "knockclient"

func main() {
	command := ui.Command{
		Name:     program,
		Summary:  "knock at a host to have a port opened",
		Synopsis: "-port PORT -key-file FILE [flags] HOST\n       " + program + " [flags] NAME\n       " + program + " [flags] HOST PORT[:udp] ...",
		Flags:    config.FlagsOf(config.ClientSettings()),
		Do:       send,
		Stdout:   os.Stdout,

		HostsFlag: "hosts",
	}
	os.Exit(ui.Fail(os.Stderr, command.Name, command.Run(os.Args[1:])))
}

func send(flags []ui.Given, hosts []string) error {
	c, err := config.LoadClient(flags, hosts, os.Getenv)
	if err != nil {
		return err
	}
	if done, err := once(c, flags, hosts); done {
		return err
	}
	say := func(when bool, kind string) func(string, ...any) {
		return func(format string, a ...any) {
			if when {
				ui.Say(os.Stderr, program, kind, format, a...)
			}
		}
	}
	warn := say(!c.Quiet, "warning")
	for _, w := range c.Warnings {
		warn("%s", w)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	knocking := client.Client{Config: c, Stdin: os.Stdin, Stdout: os.Stdout, Progress: progress(c.Quiet), Warn: warn, Debug: say(c.Debug, "debug")}
	return knocking.Run(ctx)
}
