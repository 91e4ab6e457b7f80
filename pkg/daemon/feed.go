package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/portknock/knock/pkg/control"
)

// feed is how the one source of packets is doing.
type feed struct {
	mu    sync.Mutex // guards state and ended
	state control.Source
	ended bool // the reading has ended with the problem in state, and is begun anew
}

func (f *feed) get() control.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// started notes that a source is read: packets come, unless it has said already why they do not.
func (f *feed) started(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Name != name || f.state.Problem == "" || f.ended {
		f.put(name, "")
	}
}

// end notes that a source is no longer read at all.
func (f *feed) end(name, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(name, problem)
	f.ended = true
}

// set notes that a source is watched, or why not.
func (f *feed) set(name, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(name, problem)
}

// put is set for who holds f.mu.
func (f *feed) put(name, problem string) {
	watching := problem == ""
	if f.state.Name != name || f.state.Watching != watching {
		f.state.Since = time.Now()
	}
	f.state.Name, f.state.Watching, f.state.Problem, f.ended = name, watching, problem, false
}

// problem words why packets do not come. A logger makes its file with the first line.
func problem(msg string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "the log is not there yet: it comes with the first line that the firewall logs, if the logger is set up"
	}
	return fmt.Sprintf("%s: %v", msg, err)
}

// note takes up what a source has reported, if it says that packets come, or why not.
func (f *feed) note(name, msg string, err error) {
	for _, end := range []string{"is readable again", "is sniffed now", "is free again"} {
		if strings.HasSuffix(msg, end) {
			f.set(name, "")
		}
	}
	for _, end := range []string{"is not readable", "is not there", "is down", "cannot be sniffed", "is taken"} {
		if strings.HasSuffix(msg, end) {
			f.set(name, problem(msg, err))
		}
	}
}
