package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ParseMetrics says what is wrong with where, if anything: metrics are served at a loopback address with a port
// ("127.0.0.1:9745", "[::1]:9745") or at a socket, whose name begins with a slash.
func ParseMetrics(where string) error {
	if strings.HasPrefix(where, "/") {
		if err := checkPath(where); err != nil {
			return fmt.Errorf("no socket can be %q: %w", shortened(where), err)
		}
		return nil
	}
	a, err := netip.ParseAddrPort(where)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither ADDRESS:PORT nor a socket's name from the root on", shortened(where))
	case !a.Addr().IsLoopback():
		return fmt.Errorf("%s is not a loopback address: metrics are for this machine alone", a.Addr())
	case a.Port() == 0:
		return fmt.Errorf("%q has no port", where)
	}
	return nil
}

// ListenMetrics listens at where, which is as ParseMetrics wants it. A socket is made as Listen does. At an address,
// every user of the machine can read the metrics.
func ListenMetrics(where string) (net.Listener, error) {
	if err := ParseMetrics(where); err != nil {
		return nil, err
	}
	if strings.HasPrefix(where, "/") {
		return Listen(where)
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, fmt.Errorf("failed to listen at %q: %w", where, reason(err))
	}
	return l, nil
}

// ServeMetrics serves what status tells as /metrics, in the text format of Prometheus, and nothing else, at l, which it
// closes, until ctx ends, and gives nil then. Its limits are those of Serve. Over TCP the one who asks must have named a
// loopback address or localhost, which a web page under a name of its own cannot.
func ServeMetrics(ctx context.Context, l net.Listener, status func() Status) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", exposition(status))
	var h http.Handler = mux
	if l.Addr().Network() == "tcp" {
		h = local(mux)
	}
	if err := serve(ctx, l, h); err != nil {
		return fmt.Errorf("failed to serve the metrics: %w", err)
	}
	return nil
}

// exposition serves the metrics.
func exposition(status func() Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, errors.New("metrics can only be read"))
			return
		}
		text := metrics(status())
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(text)) // an error is that who asked has gone away
	})
}

// local lets only those in who have named this machine as one can only from itself.
func local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			refuse(w, http.StatusForbidden, errors.New("the host that was asked for is not a loopback address"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLocal says whether host, with or without a port, is a loopback address or localhost.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}
