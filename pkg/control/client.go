package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
)

const (
	// askLimit is how long a daemon is waited for.
	askLimit = writeLimit + dialLimit
	// maxAnswer is the longest answer, in bytes, that is read.
	maxAnswer = 32 << 20
)

// AskStatus asks the daemon behind the socket at path how it is. That no daemon is there, or none that may be asked, is
// an error with a hint. One that does not answer is given up after 45 seconds.
func AskStatus(ctx context.Context, path string) (Status, error) {
	return ask[Status](ctx, path, http.MethodGet, "/status", nil)
}

// AskWhy asks what the daemon knows of packets from address. Its errors are those of AskStatus.
func AskWhy(ctx context.Context, path string, address netip.Addr) (Why, error) {
	return ask[Why](ctx, path, http.MethodGet, "/why?address="+url.QueryEscape(address.String()), nil)
}

// AskClose asks the daemon to close t. That nothing was open is no error. Else its errors are those of AskStatus, and
// the daemon's own.
func AskClose(ctx context.Context, path string, t Target) (Closed, error) {
	body, err := json.Marshal(map[string]Target{"target": t})
	if err != nil {
		return Closed{}, fmt.Errorf("failed to encode what to close: %w", err)
	}
	return ask[Closed](ctx, path, http.MethodPost, "/close", body)
}

func ask[T any](ctx context.Context, path, method, query string, body []byte) (T, error) {
	var none, given T
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	b, err := request(ctx, path, method, query, body)
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(b, &given); err != nil {
		return none, fmt.Errorf("failed to understand the answer of the daemon at %q: %w", path, err)
	}
	return given, nil
}

// request gives the body of a good answer.
func request(ctx context.Context, path, method, query string, body []byte) ([]byte, error) {
	c, err := dial(ctx, path)
	if err != nil {
		return nil, unreachable(path, err)
	}
	defer c.Close()
	client := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return c, nil },
		DisableKeepAlives: true,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(ctx, method, "http://knockdaemon"+query, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("failed to make a question: %w", err)
	}
	reply, err := client.Do(r)
	if err != nil {
		return nil, failed(path, err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, failed(path, err)
	case len(b) > maxAnswer:
		return nil, failed(path, errors.New("the answer is too long"))
	case reply.StatusCode != http.StatusOK:
		return nil, refused(reply.StatusCode, b)
	}
	return b, nil
}

func failed(path string, err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) { // it names a URL that nobody has asked for
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the daemon at %q does not answer: %w", path, err)
	}
	return fmt.Errorf("failed to ask the daemon at %q: %w", path, err)
}

// refused words what the daemon said in place of an answer.
func refused(status int, body []byte) error {
	var said refusal
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		said.Error = http.StatusText(status)
	}
	return fmt.Errorf("the daemon says: %s", printable(said.Error))
}
