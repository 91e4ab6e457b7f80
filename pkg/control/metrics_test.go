package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	for where, why := range map[string]string{
		"127.0.0.1:9745":          "",
		"127.9.9.9:1":             "",
		"[::1]:9745":              "",
		"[::ffff:127.0.0.1]:9745": "",
		"/run/knock/metrics":      "",
		"":                        `"" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"9745":                    `"9745" is neither ADDRESS:PORT nor a socket's name from the root on`,
		":9745":                   `":9745" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"localhost:9745":          `"localhost:9745" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"run/metrics":             `"run/metrics" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"127.0.0.1":               `"127.0.0.1" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"127.0.0.1:99999":         `"127.0.0.1:99999" is neither ADDRESS:PORT nor a socket's name from the root on`,
		"127.0.0.1:0":             `"127.0.0.1:0" has no port`,
		"0.0.0.0:9745":            "0.0.0.0 is not a loopback address: metrics are for this machine alone",
		"[::]:9745":               ":: is not a loopback address: metrics are for this machine alone",
		"192.168.0.1:9745":        "192.168.0.1 is not a loopback address: metrics are for this machine alone",
		"[::ffff:192.0.2.1]:1":    "::ffff:192.0.2.1 is not a loopback address: metrics are for this machine alone",
		"/run/":                   `no socket can be "/run/": not the name of a file`,
	} {
		if err := ParseMetrics(where); (err == nil) != (why == "") || err != nil && err.Error() != why {
			t.Errorf("%q: %v, want %q", where, err, why)
		}
		if why == "" {
			continue
		}
		if l, err := ListenMetrics(where); err == nil {
			l.Close()
			t.Errorf("there is a listener at %q", where)
		}
	}
}

// listenSomewhere listens at a port of the loopback address that is free.
func listenSomewhere(t *testing.T) net.Listener {
	t.Helper()
	for range 20 {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		free.Close()
		l, err := ListenMetrics(free.Addr().String())
		if err == nil {
			return l
		}
		if !errors.Is(err, syscall.EADDRINUSE) { // another may have taken it in between
			t.Fatal(err)
		}
	}
	t.Fatal("no port is free")
	return nil
}

// metricsAt serves the metrics of busy at l until the test ends.
func metricsAt(t *testing.T, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ServeMetrics(ctx, l, busy) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeMetrics gives %v", err)
		}
	})
}

func TestServeMetricsAtAnAddress(t *testing.T) {
	t.Parallel()
	l := listenSomewhere(t)
	metricsAt(t, l)
	text := metrics(busy())
	for name, test := range map[string]struct {
		method, path, host string
		status             int
		body               string
	}{
		"get":                 {"GET", "/metrics", "127.0.0.1:9745", 200, text},
		"head":                {"HEAD", "/metrics", "127.0.0.1", 200, ""},
		"by name":             {"GET", "/metrics", "LocalHost:9745", 200, text},
		"IPv6":                {"GET", "/metrics", "[::1]", 200, text},
		"IPv6, a port":        {"GET", "/metrics", "[::1]:9745", 200, text},
		"another name":        {"GET", "/metrics", "evil.example:9745", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"no loopback":         {"GET", "/metrics", "192.0.2.1", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"a name like it":      {"GET", "/metrics", "127.0.0.1.evil.example", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"localhost of others": {"GET", "/metrics", "localhost.evil.example", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"no host":             {"GET", "/metrics", "", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"an absolute URL":     {"GET", "http://evil.example/metrics", "localhost", 403, `{"error":"the host that was asked for is not a loopback address"}` + "\n"},
		"post":                {"POST", "/metrics", "localhost", 405, `{"error":"metrics can only be read"}` + "\n"},
		"something else":      {"GET", "/status", "localhost", 404, "404 page not found\n"},
		"the root":            {"GET", "/", "localhost", 404, "404 page not found\n"},
		"close":               {"POST", "/close", "localhost", 404, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			status, body := question(t, c, test.method, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", test.method, test.path, test.host))
			if status != test.status || body != test.body {
				t.Errorf("%d, want %d:\n%s", status, test.status, body)
			}
		})
	}
}

// A socket has no name that a page could have taken: whoever may connect may ask.
func TestServeMetricsAtASocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics")
	l, err := ListenMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	metricsAt(t, l)
	for path2, want := range map[string]int{"/metrics": 200, "/status": 404} {
		c, err := dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := question(t, c, "GET", "GET "+path2+" HTTP/1.1\r\nHost: any\r\n\r\n"); status != want ||
			status == 200 && body != metrics(busy()) {
			t.Errorf("%s: %d, %s", path2, status, body)
		}
	}
}

// What a scraper and a browser need to know.
func TestMetricsHeaders(t *testing.T) {
	t.Parallel()
	l := listenSomewhere(t)
	metricsAt(t, l)
	r, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := strings.Join(r.Header.Values(name), "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
