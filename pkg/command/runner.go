package command

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portknock/knock/pkg/journal"
)

// Runner runs the commands of jobs. Do may be called from several goroutines, Start once, and Run after it.
type Runner struct {
	options Options
	limit   time.Duration
	clock   func() journal.Instant
	boot    string             // which boot this is
	write   func(record) error // the journal
	run     func(ctx context.Context, c Command, src netip.Addr, limit time.Duration) (string, error)
	wake    chan struct{} // tells Run of a job
	ended   chan result   // of processes; has room for all of them

	// mu guards asked, waiting, held and stopped. Entries are put in and taken out by Run under mu, so that Run reads them
	// without, and Do with it.
	mu      sync.Mutex
	asked   map[key]Job  // not taken up by Run yet, one of each key
	waiting []key        // of asked, in order
	held    map[room]int // how many pairs take up room, but for late ones
	entries map[key]*entry
	stopped bool

	// The rest is Run's alone.
	fresh   []*entry // asked for, and not in the journal yet
	queue   []*entry // wait for a process, the first comes first
	slots   slots
	ending  bool          // nothing new begins
	over    bool          // no process either
	saveDue time.Duration // when the journal is to be written next, since boot
	deaf    bool          // the journal cannot be written, which was reported
}

// key is what is serial: a section, for one address.
type key struct {
	name string
	src  netip.Addr
}

// entry is a job that is under way.
type entry struct {
	key
	job   Job
	phase phase
	due   time.Duration // of one that is open: when its stop command is to run, since boot
	tries int           // of the stop command that have failed
	next  *Job          // asked for meanwhile

	late   bool          // the stop command has failed too often: it is tried now and then
	until  time.Duration // and given up at last, since boot
	before *entry        // of one that has not begun: the late one in whose place it is
}

// A phase of an entry; each is followed by the next one.
type phase int

const (
	fresh     phase = iota // not in the journal yet
	toStart                // waits for a process
	starting               // runs the start command
	open                   // waits for the time of the stop command
	toStop                 // waits for a process
	stopping               // runs the stop command
	forgotten              // and is no entry any more
)

// New gives a Runner. It starts nothing and leaves the journal alone.
func New(o Options) *Runner {
	o.Keep = o.Keep && o.Journal != ""
	return &Runner{
		options: o,
		limit:   cmp.Or(o.Limit, defaultLimit),
		clock:   journal.Now,
		boot:    journal.BootID(),
		write:   fileOf(o.Journal).Write,
		run:     run,
		wake:    make(chan struct{}, 1),
		ended:   make(chan result, maxProcesses),
		asked:   make(map[key]Job),
		held:    make(map[room]int),
		entries: make(map[key]*entry),
		saveDue: math.MaxInt64,
	}
}

// Do asks for a job. It never waits: Report tells how it went. A job of the same section and address waits for the one
// that is under way, whose stop command then runs at once; of several that wait the last one counts, and one that has
// not begun counts for those that come meanwhile. It waits no longer than until that stop command is Left, or, if it is
// already, has failed once more: then the one of the job stands for both. The error wraps ErrStopped or ErrFull, which
// no section and address hears of which a job is under way, or says what is wrong with the job.
func (r *Runner) Do(j Job) error {
	src, err := address(j.Src)
	if err == nil {
		err = checkName(j.Name)
	}
	switch {
	case err != nil:
		return err
	case j.Start.IsZero():
		return fmt.Errorf("%q has no start command", j.Name)
	case j.Wait < 0 || j.Wait > maxWait:
		return fmt.Errorf("the time of %q is %v: want 0 to %v", j.Name, j.Wait, maxWait)
	}
	j.Src = src
	return r.ask(key{j.Name, src}, j)
}

func (r *Runner) ask(k key, j Job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return ErrStopped
	}
	_, again := r.asked[k]
	if !again && r.entries[k] == nil {
		if err := r.full(j); err != nil {
			return err
		}
		r.hold(j)
	}
	if !again {
		r.waiting = append(r.waiting, k)
	}
	r.asked[k] = j
	select {
	case r.wake <- struct{}{}:
	default: // it is to wake up already
	}
	return nil
}

// checkName tells whether a section can be called that.
func checkName(name string) error {
	unprintable := func(c rune) bool { return !unicode.IsPrint(c) }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
		return fmt.Errorf("%q cannot be the name of a section: want 1 to %d printable bytes", name, maxName)
	}
	return nil
}

// Start reads the journal. Stop commands that became due meanwhile, or are Left, run as soon as Run does, the others at
// their time. A journal that cannot be used is set aside; one that cannot be read is an error. Call Start once, before
// Run.
func (r *Runner) Start(_ context.Context) error {
	if r.options.Journal == "" {
		return nil
	}
	j, aside, err := fileOf(r.options.Journal).Load()
	if aside != "" {
		r.note(fmt.Sprintf("the journal %q cannot be used and is now %q: stop commands in it do not run", r.options.Journal, aside), err)
		return nil
	}
	if err != nil {
		return err
	}
	r.restore(j)
	return nil
}

// restore takes up what j holds.
func (r *Runner) restore(j record) {
	now, overdue := r.clock(), 0
	for _, s := range j.Stops {
		e := s.entry(j, now, r.boot)
		if e.due <= now.Boot {
			overdue++
		}
		r.update(func() { r.entries[e.key] = e })
	}
	if len(j.Stops) > 0 {
		r.saveDue = now.Boot
		r.note(fmt.Sprintf("stop commands owed: %d, of which overdue: %d", len(j.Stops), overdue), nil)
	}
}

// update changes what mu guards.
func (r *Runner) update(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// report tells what became of the command c of e.
func (r *Runner) report(kind string, e *entry, c Command, output string, err error) {
	if r.options.Report != nil {
		r.options.Report(Event{Kind: kind, Name: e.name, Src: e.src, Command: c.For(e.src), Err: err, Output: output})
	}
}

func (r *Runner) note(msg string, err error) {
	if r.options.Note != nil {
		r.options.Note(msg, err)
	}
}
