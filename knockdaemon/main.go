// Knockdaemon opens ports to those who knock: it follows the firewall's log and reads knocks from it.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/daemon"
	"github.com/portknock/knock/pkg/ui"
)

func main() {
	command := ui.Command{
		Name:     "knockdaemon",
		Summary:  "open ports to those who knock",
		Synopsis: "-log FILE -key-file FILE [flags]",
		Flags:    config.FlagsOf(config.DaemonSettings()),
		Do:       serve,
		Stdout:   os.Stdout,
	}
	os.Exit(ui.Fail(os.Stderr, command.Name, command.Run(os.Args[1:])))
}

func serve(flags []ui.Given, args []string) error {
	if len(args) > 0 {
		return ui.Usage(errors.New("one argument too many: this command takes flags only"))
	}
	signal.Ignore(syscall.SIGPIPE) // a log that goes away ends nothing
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	load := func() (*config.Daemon, error) { return config.LoadDaemon(flags, os.Getenv) }
	c, err := load()
	if err != nil {
		return err
	}
	if done, err := once(c); done {
		return err
	}
	log, flush := daemon.NewLog(c, os.Stderr)
	defer flush()
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	d, err := daemon.New(c, log)
	if err != nil {
		return err
	}
	d.ReloadOn(hangups, load)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return d.Run(ctx)
}
