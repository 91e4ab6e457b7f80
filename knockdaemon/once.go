package main

import (
	"context"
	"os"

	"github.com/portknock/knock/pkg/check"
	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/daemon"
	"github.com/portknock/knock/pkg/keygen"
)

// once does what c asks for in place of running a daemon, if it does.
func once(c *config.Daemon) (done bool, err error) {
	switch {
	case c.Keygen.Path != "":
		return true, keygen.Run(keygen.Options(c.Keygen), os.Stdout)
	case c.Ask.Any():
		return true, daemon.Ask(context.Background(), c, os.Stdout)
	case c.Check:
		return true, check.Run(context.Background(), c, os.Stdout)
	case c.Replay != "":
		return true, daemon.Replay(c, os.Stdin, os.Stdout)
	}
	return false, nil
}
