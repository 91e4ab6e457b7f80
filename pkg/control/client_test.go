package control

import (
	"context"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// daemonAt serves a at a socket until the test ends, and gives its name.
func daemonAt(t *testing.T, a Answers) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, a) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve gives %v", err)
		}
		if connects(t, path) {
			t.Error("somebody still listens")
		}
	})
	return path
}

func TestAsk(t *testing.T) {
	t.Parallel()
	var closed Target
	v4, v6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")
	why := Why{Address: v6, Verdict: "two knocks\n", Findings: []Finding{{"syns", "SYNs", 24, at(0)}}, Open: []Lease{}}
	path := daemonAt(t, Answers{
		Status: busy,
		Why:    func(a netip.Addr) Why { w := why; w.Address = a; return w },
		Close: func(_ context.Context, t Target) ([]Lease, error) {
			closed = t
			return nil, nil
		},
	})
	same := cmp.Options{cmpopts.EquateComparable(netip.Addr{})}
	status, err := AskStatus(t.Context(), path)
	want := busy()
	want.Leases = sorted(want.Leases, time.Now())
	if diff := cmp.Diff(want, status, same); diff != "" || err != nil {
		t.Errorf("status: %v (-want +got)\n%s", err, diff)
	}
	got, err := AskWhy(t.Context(), path, v6)
	if diff := cmp.Diff(why, got, same); diff != "" || err != nil {
		t.Errorf("why: %v (-want +got)\n%s", err, diff)
	}
	for _, target := range []Target{{v4, 0}, {v6, 22}} {
		done, err := AskClose(t.Context(), path, target)
		if diff := cmp.Diff(Closed{target, []Lease{}}, done, same); diff != "" || err != nil || closed != target {
			t.Errorf("closed %v: %v (-want +got)\n%s", closed, err, diff)
		}
	}
}

func TestLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		until *time.Time
		want  *int64
	}{
		"no limit": {nil, nil}, "some": {at(90*time.Second + 1), pointer(int64(90))},
		"less than a second": {at(time.Second - 1), pointer(int64(0))}, "over": {at(-time.Hour), pointer(int64(0))},
	} {
		wrong := int64(4711)
		got := sorted([]Lease{{Until: test.until, Left: &wrong}}, now)
		if diff := cmp.Diff(test.want, got[0].Left); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestAskOfADaemonThatSaysNo(t *testing.T) {
	t.Parallel()
	path := daemonAt(t, fixed())
	_, err := AskClose(t.Context(), path, Target{netip.MustParseAddr("203.0.113.7"), 1})
	if want := `the daemon says: iptables is missing\x1b`; err == nil || err.Error() != want {
		t.Errorf("close: %v, want %s", err, want)
	}
	if _, err := AskWhy(t.Context(), path, netip.Addr{}); err == nil || !strings.Contains(err.Error(), "not an address") {
		t.Errorf("why: %v", err)
	}
}

// What stands at the socket's place may be something else, or a daemon that somebody has taken over.
func TestAskOfAStranger(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for name, test := range map[string]struct{ answer, want string }{
		"no HTTP":    {"SSH-2.0-OpenSSH\r\n", "failed to ask the daemon at \"PATH\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0-OpenSSH\""},
		"nothing":    {"", "failed to ask the daemon at \"PATH\": EOF"},
		"no JSON":    {head + "\r\n<html>", "failed to understand the answer of the daemon at \"PATH\": invalid character '<' looking for beginning of value"},
		"too long":   {head + "\r\n" + strings.Repeat(" ", maxAnswer+1), "failed to ask the daemon at \"PATH\": the answer is too long"},
		"cut short":  {head + "Content-Length: 9\r\n\r\n{", "failed to ask the daemon at \"PATH\": unexpected EOF"},
		"elsewhere":  {"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", "the daemon says: Found"},
		"not a word": {"HTTP/1.1 500 \x1b[2J\r\n\r\n\x1b[2J", "the daemon says: Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = c.Read(make([]byte, 4096)) // else closing would be an error to the other end
				_, _ = io.WriteString(c, test.answer)
			}()
			_, err = AskStatus(t.Context(), path)
			if err == nil || strings.ReplaceAll(err.Error(), path, "PATH") != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAskOfADaemonThatHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = AskStatus(ctx, path)
	if want := `the daemon at "` + path + `" does not answer: context deadline exceeded`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if c := <-accepted; c != nil {
		c.Close()
	}
}
