package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pipes is a listener within a bubble of synctest, which no socket works in.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial gives the client's end of a connection once it is accepted.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// question sends a request, of which method says how its answer is read, and gives the status and the body of the answer.
func question(t *testing.T, c net.Conn, method, request string) (int, string) {
	t.Helper()
	defer c.Close()
	go func() { _, _ = io.WriteString(c, request) }() // a server need not read all of it
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return r.StatusCode, string(b)
}

// fixed is a daemon that always says the same.
func fixed() Answers {
	return Answers{
		Status: func() Status { return Status{Version: "v1", Process: 2, Started: now} },
		Why: func(a netip.Addr) Why {
			if a == netip.MustParseAddr("192.0.2.1") {
				panic("a mistake\x1b")
			}
			return Why{Address: a, Verdict: "nothing came\x1b"}
		},
		Close: func(_ context.Context, t Target) ([]Lease, error) {
			if t.Port == 1 {
				return nil, errors.New("iptables is missing\x1b")
			}
			return []Lease{
				{Address: t.Address, Port: 80, Proto: "tcp", Action: Open, By: "key", Until: pointer(time.Unix(0, 0).UTC())},
				{Address: t.Address, Port: 22, Proto: "tcp", Action: Open, By: "key", From: t.Address},
			}, nil
		},
	}
}

// serving runs test with a server in a bubble, and ends that.
func serving(t *testing.T, a Answers, test func(*testing.T, *pipes)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, ended := newPipes(), make(chan error, 1)
		go func() { ended <- Serve(ctx, l, a) }()
		test(t, l)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve gives %v", err)
		}
	})
}

func TestServe(t *testing.T) {
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	post := func(body string) string {
		return "POST /close HTTP/1.0\r\nContent-Length: " + number(float64(len(body))) + "\r\n\r\n" + body
	}
	for name, test := range map[string]struct {
		request string
		status  int
		body    string
	}{
		"status":        {get("/status"), 200, `{"version":"v1","process":2,"started":"2026-03-04T05:06:07Z","sources":[],"leases":[],"keys":[],"counters":[]}`},
		"why":           {get("/why?address=203.0.113.7"), 200, `{"address":"203.0.113.7","verdict":"nothing came\u001b","findings":[],"open":[]}`},
		"why, IPv6":     {get("/why?address=2001:db8::7"), 200, `{"address":"2001:db8::7","verdict":"nothing came\u001b","findings":[],"open":[]}`},
		"why of a port": {get("/why?address=203.0.113.7:22"), 400, `{"error":"an address is asked for, without a port"}`},
		"why of nobody": {get("/why"), 400, `{"error":"\"\" is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT: not an address"}`},
		"a panic":       {get("/why?address=192.0.2.1"), 500, `{"error":"panic: a mistake\u001b"}`},
		"close": {post(`{"target": "203.0.113.7"}`), 200, `{"target":"203.0.113.7","closed":[` +
			`{"address":"203.0.113.7","port":22,"proto":"tcp","action":"open","by":"key","from":"203.0.113.7","until":null,"left_seconds":null,"waiting":false,"closing":false},` +
			`{"address":"203.0.113.7","port":80,"proto":"tcp","action":"open","by":"key","from":"","until":"1970-01-01T00:00:00Z","left_seconds":0,"waiting":false,"closing":false}]}`},
		"close, in vain":      {post(`{"target": "203.0.113.7:1"}`), 500, `{"error":"iptables is missing\u001b"}`},
		"close what?":         {post(`{}`), 400, `{"error":"failed to read what to close: no \"target\""}`},
		"close null":          {post(`{"target":null}`), 400, `{"error":"failed to read what to close: no \"target\""}`},
		"close nothing":       {post(``), 400, `{"error":"failed to read what to close: EOF"}`},
		"close a name":        {post(`{"target": "gate"}`), 400, `{"error":"failed to read what to close: \"gate\" is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT: not an address"}`},
		"close too much":      {post(`{"target": "203.0.113.7", "all": true}`), 400, `{"error":"failed to read what to close: json: unknown field \"all\""}`},
		"close twice":         {post(`{"target": "203.0.113.7"} {}`), 400, `{"error":"failed to read what to close: something follows it"}`},
		"a body without end":  {post(`{"target": "` + strings.Repeat("a", maxRequest) + `"}`), 400, `{"error":"failed to read what to close: http: request body too large"}`},
		"a wrong method":      {get("/close"), 404, `{"error":"nothing is known of GET \"/close\""}`},
		"an unknown question": {get("/stat%1bus"), 404, `{"error":"nothing is known of GET \"/stat\\x1bus\""}`},
		"a header without end": {"GET /status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 3*maxHeader) + "\r\n\r\n", 431,
			"431 Request Header Fields Too Large"},
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, fixed(), func(t *testing.T, l *pipes) {
				status, body := question(t, l.dial(), "", test.request)
				if diff := cmp.Diff(test.body, strings.TrimSuffix(body, "\n")); diff != "" || status != test.status {
					t.Errorf("status %d, want %d (-want +got)\n%s", status, test.status, diff)
				}
			})
		})
	}
}

func TestServeMetricsToo(t *testing.T) {
	serving(t, fixed(), func(t *testing.T, l *pipes) {
		status, body := question(t, l.dial(), "", "GET /metrics HTTP/1.0\r\n\r\n")
		if want := metrics(fixed().Status()); status != 200 || body != want {
			t.Errorf("%d, %s", status, body)
		}
	})
}

// Clients that hang, silent or in the middle of a word, hold up the others for five seconds at most, and no more of them
// get in than there are places.
func TestServeClientsThatHang(t *testing.T) {
	for name, half := range map[string]string{
		"silent": "", "in the header": "GET /status HTTP/1.1\r\nHost:", "in the body": "POST /close HTTP/1.0\r\nContent-Length: 99\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, fixed(), func(t *testing.T, l *pipes) {
				began := time.Now()
				for range maxConnections {
					c := l.dial()
					defer c.Close()
					_, _ = io.WriteString(c, half)
					go func() { _, _ = io.Copy(io.Discard, c) }() // until it is closed
				}
				var in atomic.Bool
				go func() {
					status, _ := question(t, l.dial(), "", "GET /status HTTP/1.0\r\n\r\n")
					in.Store(status == 200)
				}()
				time.Sleep(readLimit - 1)
				synctest.Wait()
				if in.Load() {
					t.Errorf("%d are served at once", maxConnections+1)
				}
				time.Sleep(time.Second) // net/http waits half of one before it closes a connection that was not read
				synctest.Wait()
				if !in.Load() {
					t.Errorf("after %v, nobody has got in", time.Since(began))
				}
			})
		})
	}
}

// An answer that nobody reads ends.
func TestServeClientThatDoesNotRead(t *testing.T) {
	serving(t, fixed(), func(t *testing.T, l *pipes) {
		c := l.dial()
		if _, err := io.WriteString(c, "GET /status HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(writeLimit + time.Second)
		synctest.Wait()
		if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
			t.Errorf("after %v there is still %q, %v", writeLimit, b, err)
		}
	})
}

// What closes something goes on when the one who asked has gone, ends after half a minute, and with the daemon.
func TestServeCloseUnderWay(t *testing.T) {
	const asked = "POST /close HTTP/1.0\r\nContent-Length: 24\r\n\r\n" + `{"target":"203.0.113.7"}`
	for name, test := range map[string]struct {
		leave bool // who asked goes away
		stop  bool // the daemon ends
		want  time.Duration
	}{
		"he stays": {want: closeLimit}, "he goes away": {leave: true, want: closeLimit}, "the daemon ends": {stop: true, want: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				l, ended, lasted := newPipes(), make(chan error, 1), make(chan time.Duration, 1)
				a := fixed()
				a.Close = func(ctx context.Context, _ Target) ([]Lease, error) {
					began := time.Now()
					<-ctx.Done()
					lasted <- time.Since(began)
					return nil, ctx.Err()
				}
				go func() { ended <- Serve(ctx, l, a) }()
				c := l.dial()
				if _, err := io.WriteString(c, asked); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				switch {
				case test.leave:
					c.Close()
				case test.stop:
					cancel()
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
				if got := <-lasted; got != test.want {
					t.Errorf("it was given %v, want %v", got, test.want)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The daemon's end waits for nobody who hangs.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, ended := newPipes(), make(chan error, 1)
		go func() { ended <- Serve(ctx, l, fixed()) }()
		c := l.dial()
		defer c.Close()
		began := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(began) > stopLimit {
			t.Errorf("it took %v, and gave %v", time.Since(began), err)
		}
	})
}

func TestServeWithoutListener(t *testing.T) {
	t.Parallel()
	if err := Serve(t.Context(), failing{}, fixed()); err == nil || err.Error() != "failed to answer at the control socket: no more" {
		t.Errorf("Serve gives %v", err)
	}
}

type failing struct{ *pipes }

func (failing) Accept() (net.Conn, error) { return nil, errors.New("no more") }
func (failing) Close() error              { return nil }
