package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConnections = 16 // at once; who comes then waits for one to end
	maxHeader      = 4 << 10
	maxRequest     = 4 << 10 // bytes of a body
	readLimit      = 5 * time.Second
	closeLimit     = 30 * time.Second
	writeLimit     = closeLimit + 10*time.Second // from the end of the header on
	stopLimit      = 2 * time.Second             // for answers under way when the daemon ends
)

// Serve answers at l, which it closes, until ctx ends, and gives nil then. It serves 16 connections at once, each for
// one question, which must have come within five seconds.
func Serve(ctx context.Context, l net.Listener, a Answers) error {
	if err := serve(ctx, l, questions(ctx, a)); err != nil {
		return fmt.Errorf("failed to answer at the control socket: %w", err)
	}
	return nil
}

// serve is Serve for any handler.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           guarded(h),
		ReadHeaderTimeout: readLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		MaxHeaderBytes:    maxHeader,
		// What the server has to say is about those who ask, who could fill a log with it.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server.SetKeepAlivesEnabled(false) // a place is for one question
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-failed:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if server.Shutdown(patience) != nil {
		_ = server.Close()
	}
	<-failed
	return nil
}

// guarded tells the one who asked of a panic, which net/http would tell a log that nobody reads.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				refuse(w, http.StatusInternalServerError, fmt.Errorf("panic: %v", v))
			}
		}()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// questions routes what can be asked at the control socket. What closes something goes on without the one who asked
// for it, and ends with ctx.
func questions(ctx context.Context, a Answers) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.Status().tidy(time.Now()))
	})
	mux.HandleFunc("GET /why", func(w http.ResponseWriter, r *http.Request) {
		t, err := ParseTarget(r.URL.Query().Get("address"))
		if err == nil && t.Port != 0 {
			err = errors.New("an address is asked for, without a port")
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w, a.Why(t.Address).tidy(time.Now()))
	})
	mux.HandleFunc("POST /close", func(w http.ResponseWriter, r *http.Request) {
		t, err := readTarget(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, closeLimit)
		defer cancel()
		leases, err := a.Close(ctx, t)
		if err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		answer(w, Closed{t, sorted(leases, time.Now())})
	})
	mux.Handle("GET /metrics", exposition(a.Status))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("nothing is known of %s %q", r.Method, r.URL.Path))
	})
	return mux
}

// readTarget reads the one JSON object that asks for something to be closed.
func readTarget(r io.Reader) (Target, error) {
	var asked struct {
		Target *Target `json:"target"`
	}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&asked); err != nil {
		return Target{}, fmt.Errorf("failed to read what to close: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Target{}, errors.New("failed to read what to close: something follows it")
	}
	if asked.Target == nil {
		return Target{}, errors.New(`failed to read what to close: no "target"`)
	}
	return *asked.Target, nil
}

func answer(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	if err := WriteJSON(&b, v); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = b.WriteTo(w) // an error is that who asked has gone away
}

// A refusal is the answer where there is none.
type refusal struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = WriteJSON(w, refusal{err.Error()}) // an error is that who asked has gone away
}
