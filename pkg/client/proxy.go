package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
)

// carry carries standard input to conn, and what comes from there to standard output, until the other side has ended.
// The end of standard input is told to it, and what it has still to say comes nonetheless. That ctx is over is no error.
func (c *Client) carry(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() { // ends with the process if nothing comes on standard input
		_, err := io.Copy(conn, c.Stdin)
		c.Debug("standard input has ended: %v", err) // if it is the connection that broke, that shows on the way back too
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	out := &output{w: c.Stdout}
	_, err := io.Copy(out, struct{ io.Reader }{conn}) // and not by conn's own way, which hides whose an error is
	if err == nil || ctx.Err() != nil {
		return nil // whether all was sent does not matter to a side that has ended
	}
	if out.err != nil {
		return fmt.Errorf("failed to pass on what came from %s: %w", conn.RemoteAddr(), out.err)
	}
	for op := (*net.OpError)(nil); errors.As(err, &op); {
		err = op.Err // the addresses are said once
	}
	return fmt.Errorf("the connection to %s broke: %w", conn.RemoteAddr(), err)
}

// An output keeps the error that writing to w has ended with.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (n int, err error) {
	n, err = o.w.Write(b)
	o.err = err
	return n, err
}

// environment is that of the command that is run in the client's place, env without the passphrase, which is none of its
// business.
func (o *outcome) environment(env []string) []string {
	ours := map[string]string{
		"KNOCK_HOST": o.Host, "KNOCK_ADDRESS": o.Address, "KNOCK_PORT": fmt.Sprint(o.Ports[0].Port),
	}
	env = slices.DeleteFunc(slices.Clone(env), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		_, is := ours[name]
		return is || strings.EqualFold(name, "KNOCK_KEY")
	})
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		env = append(env, name+"="+ours[name])
	}
	return env
}
