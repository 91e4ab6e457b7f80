package outside

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// timeout is how long a service may take, with all redirects.
const timeout = 5 * time.Second

// Ask asks service, as CheckService wants it, which IPv4 address it sees, and takes 5 s at most. It asks over IPv4, and
// through no proxy, whose address would be the answer; it follows at most three redirects, all on the same host and none
// from https to http; it sends no cookies and nothing that tells this program from others in Go, and believes no
// certificate that the system does not. The answer must have at most 256 bytes and begin with an IPv4 address that packets
// can come from; one of 127.0.0.0/8 only if the service is on this machine too, by its name. An error names the service
// without its query.
func Ask(ctx context.Context, service string) (netip.Addr, error) {
	return asker{limit: timeout}.ask(ctx, service)
}

// An asker is what tests change.
type asker struct {
	limit time.Duration
	roots *x509.CertPool // nil: the system's
}

func (a asker) ask(ctx context.Context, service string) (netip.Addr, error) {
	u, err := parseService(service)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("failed to ask for the outside address: the service is wrong: %w", err)
	}
	late := fmt.Errorf("no answer within %s", a.limit)
	ctx, cancel := context.WithTimeoutCause(ctx, a.limit, late)
	defer cancel()
	t := a.transport()
	defer t.CloseIdleConnections()
	text, err := get(ctx, t, u)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // what it broke is of no interest
	}
	var ip netip.Addr
	if err == nil {
		ip, err = parseAnswer(text, isLocal(u))
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("failed to ask %q for the outside address: %w", nameOf(u), tame{err})
	}
	return ip, nil
}

// transport makes connections for one question. It has no proxy, and by itself neither cookies nor redirects.
func (a asker) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: a.limit} // a transport goes on dialling when nobody waits any more
			return d.DialContext(ctx, "tcp4", address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: a.roots},
		TLSHandshakeTimeout:    a.limit,
		DisableCompression:     true, // what is read is what came
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

const maxRedirects = 3

// get gets a page, or a byte more than an answer may have of it.
func get(ctx context.Context, t *http.Transport, u *url.URL) ([]byte, error) {
	for range maxRedirects + 1 {
		text, next, err := getOnce(ctx, t, u)
		if err != nil || next == nil {
			return text, err
		}
		u = next
	}
	return nil, fmt.Errorf("it redirects more than %d times", maxRedirects)
}

// getOnce gives either a page or where it is.
func getOnce(ctx context.Context, t *http.Transport, u *url.URL) (text []byte, next *url.URL, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := t.RoundTrip(r) // not a Client's Get, whose errors repeat the query
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		text, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
		return text, nil, err
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err = redirect(u, answer.Header.Get("Location"))
		return nil, next, err
	}
	return nil, nil, fmt.Errorf("its answer is HTTP status %d", answer.StatusCode) // its own words may be anything
}

// redirect gives where a service that was asked at u sends us.
func redirect(u *url.URL, location string) (*url.URL, error) {
	next, err := u.Parse(location)
	switch {
	case err != nil || location == "":
		return nil, errors.New("it redirects to something that is no URL")
	case !strings.EqualFold(next.Hostname(), u.Hostname()):
		return nil, fmt.Errorf("it redirects to another host, %s: if that is meant, name it", shown(next.Hostname()))
	case u.Scheme == "https" && next.Scheme != "https":
		return nil, errors.New("it redirects from https to what anybody on the way can change")
	}
	if err := checkURL(next, false); err != nil {
		return nil, errors.New("it redirects to a URL that cannot be asked")
	}
	return next, nil
}
