package knocklab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

// The page has one user: what he needs is far below all of these.
const (
	maxConns  = 32
	maxHeader = 16 << 10 // bytes of a request's head
	patience  = 10 * time.Second
	idle      = time.Minute
	parting   = time.Second // for requests that are being answered when the end comes
)

// Serve serves the page on 127.0.0.1 until ctx ends, and gives nil then. Port 0: any
// free one. Announce is called once, before the first request is answered, with the
// URL, such as http://127.0.0.1:8080/. An error is a port that cannot be listened on,
// or a listener that fails.
func Serve(ctx context.Context, port uint16, announce func(url string)) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", address)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("failed to listen on %q: %w", address, err)
	}
	defer listener.Close()
	port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	server := &http.Server{
		Handler:           newHandler(port),
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience,
		WriteTimeout:      patience,
		IdleTimeout:       idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // it may quote requests
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { ended <- shutDown(server) })
	announce(fmt.Sprintf("http://127.0.0.1:%d/", port))
	err = server.Serve(netutil.LimitListener(listener, maxConns))
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		server.Close()
		return fmt.Errorf("failed to serve the page: %w", err)
	}
	return <-ended
}

// shutDown lets requests end that are being answered, within reason.
func shutDown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), parting)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
	return nil
}
