package daemon

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/control"
)

// Ask asks the daemon that runs with the state directory of c what c wants to know, and writes the answer to w.
func Ask(ctx context.Context, c *config.Daemon, w io.Writer) error {
	path := filepath.Join(c.StateDir, controlName)
	switch q := c.Ask; {
	case q.Status:
		s, err := control.AskStatus(ctx, path)
		return tell(c, w, err, s, func() error { return s.Write(w, time.Now()) })
	case q.Why.IsValid():
		y, err := control.AskWhy(ctx, path, q.Why)
		return tell(c, w, err, y, func() error { return y.Write(w, time.Now()) })
	default:
		closed, err := control.AskClose(ctx, path, q.Close)
		return tell(c, w, err, closed, func() error { return closed.Write(w) })
	}
}

// tell writes an answer, unless there is an error in its place.
func tell(c *config.Daemon, w io.Writer, err error, answer any, asText func() error) error {
	switch {
	case err != nil:
		return err
	case c.Output == config.OutputJSON:
		return control.WriteJSON(w, answer)
	}
	return asText()
}

// controlName is the name of the socket in the state directory at which a daemon can be asked.
const controlName = "control"
