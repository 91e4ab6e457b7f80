package source

import (
	"fmt"
	"slices"
	"sync"
	"syscall"

	tail "github.com/nxadm/tail/watch"
)

// tracker guards the first use of tail's process-wide watcher.
var tracker struct {
	sync.Mutex
	started bool
}

// watcher turns the inotify events of some names into wake-ups. The names'
// directories are what is watched, so a name need not exist.
type watcher struct {
	wake  chan struct{} // holds one: a wake-up says "look", not how often
	names []string
	drain sync.WaitGroup
}

func newWatcher() *watcher { return &watcher{wake: make(chan struct{}, 1)} }

// arm watches names in place of what was watched before. On an error none is
// watched. Whoever arms must look at the files afterwards: what happened
// meanwhile is announced by no event.
func (w *watcher) arm(names []string) error {
	w.close()
	if err := startTracker(); err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(w.names, name) {
			continue
		}
		if err := tail.WatchCreate(name); err != nil {
			// RemoveWatchCreate would count the directory down although
			// it was not counted up, and no later watch of it would work.
			// Cleanup takes away the name's channel only, on which the
			// tracker would else wait for ever.
			tail.Cleanup(name)
			w.close()
			return fmt.Errorf("failed to watch the directory of %q: %w", name, err)
		}
		w.names = append(w.names, name)
		if events := tail.Events(name); events != nil {
			w.drain.Go(func() { forward(events, w.wake) })
		}
	}
	return nil
}

// forward takes every event at once, for the tracker serves nobody while one
// waits. It ends when the watch is removed.
func forward[Event any](events <-chan Event, wake chan<- struct{}) {
	for range events {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// close ends all watches and their goroutines.
func (w *watcher) close() {
	for _, name := range w.names {
		// An error says that the directory is gone, and its watch with it.
		_ = tail.RemoveWatchCreate(name)
	}
	w.names = nil
	w.drain.Wait()
}

// startTracker fails where the tracker would: it ends the process when it
// cannot have an inotify instance. Two are tried, so that another program
// taking the last one at this very moment does no harm.
func startTracker() error {
	tracker.Lock()
	defer tracker.Unlock()
	if tracker.started {
		return nil
	}
	for range 2 {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			return fmt.Errorf("failed to start inotify: %w", err)
		}
		defer syscall.Close(fd)
	}
	tracker.started = true
	return nil
}
