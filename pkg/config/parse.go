package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The functions here make the set function of a Setting: they check a value's form and range and store it.

func notEmpty(v string) error {
	if v == "" {
		return errors.New("it is empty")
	}
	return nil
}

func text(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func name(to *string) func(string) error {
	return func(v string) error { *to = v; return notEmpty(v) }
}

func boolean(to *bool) func(string) error {
	return func(v string) error {
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			*to = true
		case "false", "no", "off", "0":
			*to = false
		default:
			return fmt.Errorf("%q is neither true nor false", v)
		}
		return nil
	}
}

// oneOf takes one of a few words.
func oneOf[T ~string](to *T, words ...T) func(string) error {
	return func(v string) error {
		for _, w := range words {
			if v == string(w) {
				*to = w
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", v, strings.Join(texts(words), ", "))
	}
}

func texts[T ~string](words []T) []string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

// number takes a decimal number, low..high; what says what it counts.
func number(v, what string, low, high int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is not a number: want %s, %d..%d", v, what, low, high)
	}
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is out of range: want %s, %d..%d", v, what, low, high)
	}
	return n, nil
}

func integer[T ~int | ~uint8 | ~uint16](to *T, what string, low, high int) func(string) error {
	return func(v string) error {
		n, err := number(v, what, low, high)
		if err == nil {
			*to = T(n)
		}
		return err
	}
}

func duration(to *time.Duration, unit time.Duration, what string, low, high int) func(string) error {
	return func(v string) error {
		n, err := number(v, what, low, high)
		if err == nil {
			*to = time.Duration(n) * unit
		}
		return err
	}
}

func ipv4(to *netip.Addr) func(string) error {
	return func(v string) error {
		addr, err := netip.ParseAddr(v)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", v)
		}
		if !addr.Is4() {
			return fmt.Errorf("%s is not an IPv4 address, and a knock carries no other", addr)
		}
		*to = addr
		return nil
	}
}

// list calls add for each part of "a,b, c".
func list(v string, add func(string) error) error {
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return fmt.Errorf("%q has an empty part: want a list with commas", v)
		}
		if err := add(part); err != nil {
			return err
		}
	}
	return nil
}

// maxList is how many ports one setting opens, closes or forwards at most.
const maxList = 64

func tooMany(n int, err error) error {
	if err == nil && n > maxList {
		return fmt.Errorf("%d ports are too many: want 1 to %d", n, maxList)
	}
	return err
}
