package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
)

// joined gives both ends of a connection.
func joined(t *testing.T) (ours, its *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// All bytes go both ways; the end of standard input is told, and what comes after that arrives.
func TestCarry(t *testing.T) {
	t.Parallel()
	ours, its := joined(t)
	client, stdout, _ := newTestClient(config.Client{})
	in := strings.Repeat("all that is said ", 100_000)
	client.Stdin = strings.NewReader(in)
	heard := make(chan string, 1)
	go func() {
		all, err := io.ReadAll(its)
		if err != nil {
			t.Error(err)
		}
		heard <- string(all)
		if _, err := io.WriteString(its, "an answer after the end"); err != nil {
			t.Error(err)
		}
		its.Close()
	}()
	if err := client.carry(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != in {
		t.Errorf("%d bytes arrived, want %d", len(got), len(in))
	}
	if got := stdout.String(); got != "an answer after the end" {
		t.Errorf("stdout %q", got)
	}
}

// It ends with the other side, or when it is told to, though standard input goes on; a break is an error.
func TestCarryEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(its *net.TCPConn, cancel func()) error
		want string
	}{
		"the other side ends": {func(its *net.TCPConn, _ func()) error { return its.CloseWrite() }, ""},
		"it is told to":       {func(_ *net.TCPConn, cancel func()) error { cancel(); return nil }, ""},
		"it breaks": {func(its *net.TCPConn, _ func()) error {
			if err := its.SetLinger(0); err != nil {
				return err
			}
			return its.Close()
		}, "the connection to 127.0.0.1 broke: read: connection reset by peer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, its := joined(t)
			in, keyboard := io.Pipe()
			defer keyboard.Close()
			client, _, _ := newTestClient(config.Client{})
			client.Stdin = in
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := tt.end(its, cancel); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := client.carry(ctx, ours); err != nil {
				got = err.Error()
			}
			if got != strings.Replace(tt.want, "127.0.0.1", its.LocalAddr().String(), 1) {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
}

// A full disk is not the connection's fault.
func TestCarryNowhere(t *testing.T) {
	t.Parallel()
	ours, its := joined(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := io.WriteString(its, "something"); err != nil {
		t.Fatal(err)
	}
	client, _, _ := newTestClient(config.Client{})
	client.Stdin, client.Stdout = strings.NewReader(""), full
	want := fmt.Sprintf("failed to pass on what came from %s: ", its.LocalAddr())
	if err := client.carry(t.Context(), ours); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s…", err, want)
	}
}

// The command learns where it was knocked at, and nothing of the passphrase.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	o := &outcome{Host: "gate", Address: "192.0.2.1", Ports: []portOutcome{{Port: 22}, {Port: 80}}}
	env := []string{"HOME=/root", "KNOCK_KEY=secret", "KNOCK_PORT=1", "knock_key=secret", "KNOCK_KEYS=7", "odd"}
	want := []string{"HOME=/root", "KNOCK_KEYS=7", "odd", "KNOCK_ADDRESS=192.0.2.1", "KNOCK_HOST=gate", "KNOCK_PORT=22"}
	if diff := cmp.Diff(want, o.environment(env)); diff != "" || env[1] != "KNOCK_KEY=secret" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
