package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// reconfigured has the daemon read a configuration file that is wrong.
func (r *rig) reconfigured() (string, error) {
	var c cell
	if err := r.spoil(); err != nil {
		return "", err
	}
	if err := r.signal(syscall.SIGHUP); err != nil {
		return "", err
	}
	over, err := r.waitOver(&c, soon)
	if err != nil {
		return "", err
	}
	if !over {
		opens, err := r.knocks(soon)
		if err != nil {
			return "", err
		}
		c.say("a knock then: port %s", state(opens))
	}
	if err := r.kill(true); err != nil {
		return "", err
	}
	if err := r.start(); !errors.Is(err, errEnded) {
		return "", fmt.Errorf("the configuration is not broken: a new start gives %w", err)
	}
	return c.text(), nil
}

// unplugged takes the gate's interface down, and up again.
func (r *rig) unplugged() (string, error) {
	return r.without(func() error { return ip("-n %s link set eth0 down", r.gate) },
		func() error { return ip("-n %s link set eth0 up", r.gate) })
}

// replaced removes the interface, as a VPN's or a USB device's goes, and makes another of its name.
func (r *rig) replaced() (string, error) {
	return r.without(func() error { return ip("-n %s link del eth0", r.gate) }, r.connect)
}

func (r *rig) without(away, back func() error) (string, error) {
	var c cell
	if err := away(); err != nil {
		return "", err
	}
	over, err := r.waitOver(&c, patience)
	if err != nil {
		return "", err
	}
	if err := back(); err != nil {
		return "", err
	}
	if over {
		return c.text(), nil
	}
	return r.until(&c, "back")
}

// filled knocks with the disk full, and again when there is room.
func (r *rig) filled() (string, error) {
	var c cell
	file := filepath.Join(r.state, "filler")
	if err := fill(file); err != nil {
		return "", err
	}
	for i := range 100 { // what is left of the blocks of files that are there
		if err := r.send(r.junk(i)); err != nil {
			return "", err
		}
	}
	opens, err := r.knocks(soon)
	if err != nil {
		return "", err
	}
	c.say("a knock: port %s", state(opens))
	if over, _ := r.isOver(); over {
		c.say("it ends")
		return c.text(), nil
	}
	if opens {
		if _, err := r.closing(&c); err != nil {
			return "", err
		}
	}
	if err := os.Remove(file); err != nil {
		return "", err
	}
	return r.until(&c, "with room")
}

// fill writes until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("failed to fill the disk: %w", err)
	}
	return nil
}
