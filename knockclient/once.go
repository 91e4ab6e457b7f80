package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knocklab"
	"github.com/portknock/knock/pkg/ui"
)

// once does what c asks for in place of a knock, if it does.
func once(c *config.Client, flags []ui.Given, hosts []string) (done bool, err error) {
	switch {
	case c.Other.Hosts:
		return true, printHosts(flags)
	case c.Other.Save != "":
		return true, save(flags, hosts)
	case c.Other.Lab:
		return true, lab(c)
	}
	return false, nil
}

// printHosts prints the names of the hosts that the configuration file has a section for.
func printHosts(flags []ui.Given) error {
	names, err := config.HostNames(flags, os.Getenv)
	for _, name := range names {
		fmt.Println(name)
	}
	return err
}

// save writes the flags as a section of the configuration file.
func save(flags []ui.Given, hosts []string) error {
	name, path, err := config.SaveHost(flags, hosts, os.Getenv)
	if err == nil {
		command := program
		if slices.ContainsFunc(flags, func(f ui.Given) bool { return f.Name == "conf" }) {
			command += " -conf " + path
		}
		fmt.Printf("saved as [%s] in %s: knock with %s %[1]s\n", name, path, command)
	}
	return err
}

// lab serves the Knock Lab until somebody has seen enough.
func lab(c *config.Client) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return knocklab.Serve(ctx, c.Other.LabPort, func(url string) { fmt.Println(url) })
}
