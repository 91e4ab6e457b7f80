package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
)

// newPad has a client make a pad.
func newPad(t *testing.T, knocks int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pad")
	client, stdout, _ := newTestClient(config.Client{Other: config.Other{MakePad: path, Knocks: knocks}})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s: good for %d knocks; copy it to the host by a safe way, such as scp, mode 0600, "+
		"and say pad = FILE there; here knock with -pad %s\n", path, knocks, path)
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	return path
}

// opened gives what the other end makes of a knock, and its place.
func opened(t *testing.T, receiver *pad.Receiver, ports string, first int) (knock.Payload, int) {
	t.Helper()
	var message []byte
	for word := range strings.FieldsSeq(ports) {
		port, err := strconv.Atoi(word)
		if err != nil || port < first || port > first+255 {
			t.Fatalf("%q is no knock port", word)
		}
		message = append(message, byte(port-first))
	}
	plain, place, err := receiver.Open(message)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := knock.ParsePayload(plain[:])
	if err != nil {
		t.Fatal(err)
	}
	return payload, place
}

const firstOfPad = "this is the first knock with this one-time pad here: if it has been knocked with before, both ends need a new one\n"

// Each knock of a pad uses its next part, also those that are not sent, which the user hears.
func TestPad(t *testing.T) {
	t.Parallel()
	path := newPad(t, 12)
	receiver, err := pad.OpenReceiver(path, t.TempDir(), pad.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	want := knock.Payload{IP: netip.MustParseAddr("192.0.2.7"), Port: 22, Time: 15}
	for i := range 12 {
		c := config.Client{Pad: path, Test: true, IP: want.IP}
		c.Knock.PortMin = 2000
		client, stdout, warnings := newTestClient(c)
		if err := client.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, place := opened(t, receiver, stdout.String(), 2000)
		if got != want || place != i {
			t.Errorf("knock %d says %s at place %d, want %s", i, got, place, want)
		}
		warning := ""
		if i == 0 {
			warning = firstOfPad
		}
		warning += fmt.Sprintf("nothing is sent, but the knock's part of the one-time pad is used up: knocks left: %d\n", 11-i)
		if diff := cmp.Diff(warning, warnings.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	client, stdout, _ := newTestClient(config.Client{Pad: path, Test: true, IP: want.IP})
	if err := client.Run(t.Context()); !errors.Is(err, pad.ErrUsedUp) || stdout.Len() > 0 {
		t.Errorf("error %v, %q is said, want that the pad is used up", err, stdout)
	}
}

// Whoever knocks hears in time that his pad comes to its end, and what is sent uses up a part.
func TestPadComesToItsEnd(t *testing.T) {
	t.Parallel()
	path := newPad(t, 12)
	for _, want := range []string{
		firstOfPad,
		"the one-time pad comes to its end, make a new one for both ends: knocks left: 10\n",
		"the one-time pad comes to its end, make a new one for both ends: knocks left: 9\n",
	} {
		client, _, warnings := newTestClient(config.Client{Pad: path, Host: "127.0.0.1"})
		if err := client.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, warnings.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// A knock that cannot be sent uses up nothing, nor does a pad that others can read.
func TestPadIsNotUsed(t *testing.T) {
	t.Parallel()
	path := newPad(t, 2)
	client, _, _ := newTestClient(config.Client{Pad: path, Host: "0.0.0.0"})
	if err := client.Run(t.Context()); err == nil {
		t.Error("a host that is none was knocked at")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	client, _, _ = newTestClient(config.Client{Pad: path, Test: true, IP: loopback})
	if err := client.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "others may use it (mode 0644)") {
		t.Errorf("error %v, want that others may use it", err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("there is %q, want no place yet", left)
	}
	client, _, warnings := newTestClient(config.Client{Pad: path, AllowReadable: true, Test: true, IP: loopback})
	if err := client.Run(t.Context()); err != nil || !strings.HasSuffix(warnings.String(), "knocks left: 1\n") {
		t.Errorf("error %v, warnings %q, want one knock left", err, warnings)
	}
}

// A pad is never written over, and a quiet client says nothing of a new one.
func TestMakePad(t *testing.T) {
	t.Parallel()
	path := newPad(t, 1)
	client, stdout, _ := newTestClient(config.Client{Other: config.Other{MakePad: path, Knocks: 1}})
	if err := client.Run(t.Context()); !errors.Is(err, fs.ErrExist) || stdout.Len() > 0 {
		t.Errorf("error %v, stdout %q, want that the file is there", err, stdout)
	}
	client, stdout, _ = newTestClient(config.Client{Other: config.Other{MakePad: path + "2", Knocks: 1}, Quiet: true})
	if err := client.Run(t.Context()); err != nil || stdout.Len() > 0 {
		t.Errorf("error %v, stdout %q", err, stdout)
	}
	info, err := os.Stat(path + "2")
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A knock that is sent again is the same, whatever it is the first try for; another one is another.
func TestPadAgain(t *testing.T) {
	t.Parallel()
	path := newPad(t, 12)
	client, _, _ := newTestClient(config.Client{Pad: path})
	ask := func(port uint8) []uint16 {
		ports, err := client.seal(knock.Payload{IP: netip.MustParseAddr("192.0.2.7"), Port: port, Time: 15})
		if err != nil {
			t.Fatal(err)
		}
		return ports
	}
	first, other := ask(22), ask(80)
	if diff := cmp.Diff(first, ask(22)); diff != "" {
		t.Errorf("sent again it differs (-want +got)\n%s", diff)
	}
	if cmp.Equal(first, other) {
		t.Error("a knock for another port is the same")
	}
	sender, err := pad.OpenSender(path, pad.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sender.Left() != 10 {
		t.Errorf("%d knocks are left of 12, want 10", sender.Left())
	}
}
