package lease

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/portknock/knock/pkg/firewall"
)

// The journal is one file: a line with its form, version and the SHA-256 of the
// rest, then JSON. It is replaced at one stroke.
const (
	journalForm = "knockdaemon-journal"
	journalHead = journalForm + " 1 "

	// maxJournal bounds what is read, in bytes: MaxLeases of the longest.
	maxJournal = MaxLeases * 256
)

// errForeign is a journal that another version wrote.
var errForeign = errors.New("it is of another version")

// record is what a journal holds.
type record struct {
	Saved  time.Time `json:"saved"` // by the wall clock
	Boot   string    `json:"boot"`  // which boot the times since boot are of
	Leases []saved   `json:"leases"`
}

// saved is a lease in the journal. Of one without a limit the last three are
// zero; the others end at the earliest that any of them says.
type saved struct {
	IP     netip.Addr     `json:"ip"`
	Port   uint16         `json:"port,omitempty"`
	Action string         `json:"action"`           // accept, forward, drop, or ignore: a ban without a rule
	Proto  string         `json:"proto,omitempty"`  // udp; none: tcp
	To     netip.AddrPort `json:"to,omitzero"`      // where it is forwarded
	Until  time.Time      `json:"until,omitzero"`   // by the wall clock
	End    time.Duration  `json:"end_ns,omitempty"` // since boot
	Left   time.Duration  `json:"left_ns,omitempty"`
}

// Actions in a journal, and its one protocol.
const (
	actionAccept  = "accept"
	actionForward = "forward"
	actionDrop    = "drop"
	actionIgnore  = "ignore"

	protoUDP = "udp"
)

// encode gives the bytes of a journal.
func (r record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return sum(append(body, '\n')), nil
}

// sum puts the head in front of a body.
func sum(body []byte) []byte {
	return append(fmt.Appendf(nil, "%s%x\n", journalHead, sha256.Sum256(body)), body...)
}

// decodeRecord reads the bytes of a journal. Whatever was cut, changed or written
// by another version is an error.
func decodeRecord(b []byte) (record, error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	switch {
	case !bytes.HasPrefix(head, []byte(journalForm+" ")):
		return record{}, errors.New("it is no journal of leases")
	case !bytes.HasPrefix(head, []byte(journalHead)):
		return record{}, errForeign
	case string(head[len(journalHead):]) != fmt.Sprintf("%x", sha256.Sum256(body)):
		return record{}, errors.New("it is torn or was changed")
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("it cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return record{}, errors.New("something follows its end")
	}
	if len(r.Leases) > MaxLeases {
		return record{}, fmt.Errorf("it holds %d leases, more than %d", len(r.Leases), MaxLeases)
	}
	for _, s := range r.Leases {
		if err := s.check(); err != nil {
			return record{}, err
		}
	}
	return r, nil
}

// check refuses what no Manager writes.
func (s saved) check() error {
	limited := s.End != 0
	r, _ := s.rule()
	switch {
	case s.Action != actionAccept && s.Action != actionForward && s.Action != actionDrop && s.Action != actionIgnore:
		return fmt.Errorf("%q is no action", s.Action)
	case s.Proto != "" && s.Proto != protoUDP:
		return fmt.Errorf("%q is no protocol", s.Proto)
	case r.Action == firewall.Drop && !limited:
		return fmt.Errorf("a ban of %s has no end", s.IP)
	case limited != !s.Until.IsZero() || limited != (s.Left != 0) || s.End < 0 || s.Left < 0:
		return fmt.Errorf("the lease of %s has half an end", s.IP)
	}
	return r.Check()
}

// savedOf gives a rule without an end as it stands in a journal.
func savedOf(r firewall.Rule, silent bool) saved {
	s := saved{IP: r.Src, Port: r.Port, Action: actionAccept, To: r.To}
	switch {
	case silent:
		s.Action = actionIgnore
	case r.Action == firewall.Drop:
		s.Action = actionDrop
	case r.Action == firewall.Forward:
		s.Action = actionForward
	}
	if r.Proto == firewall.UDP {
		s.Proto = protoUDP
	}
	return s
}

// rule gives the rule of s, and whether it is a ban that has none in the firewall.
func (s saved) rule() (r firewall.Rule, silent bool) {
	r = firewall.Rule{Src: s.IP, Port: s.Port, To: s.To, Action: firewall.Drop}
	switch s.Action {
	case actionAccept:
		r.Action = firewall.Accept
	case actionForward:
		r.Action = firewall.Forward
	}
	if s.Proto == protoUDP {
		r.Proto = firewall.UDP
	}
	return r, s.Action == actionIgnore
}

// left is how long s has still to go at now, in the given boot; r holds s. The
// time since boot tells it if that is the same boot's. After another one the wall
// clock does, which may be wrong: so never more than there was, and less of it if
// the clock cannot be believed.
func (s saved) left(r record, now Instant, boot string) time.Duration {
	left := min(s.Until.Sub(now.Wall), s.Left)
	switch {
	case r.of(boot):
		left = min(left, s.End-now.Boot)
	case !r.believable(now, boot):
		left = min(left, s.Left-2*syncEvery)
	}
	return left
}

// of tells whether r was written in the given boot.
func (r record) of(boot string) bool { return boot != "" && boot == r.Boot }

// believable tells whether the clocks can say how long ago r was written: not if
// it was in another boot, and the wall clock has not got as far as it was then.
func (r record) believable(now Instant, boot string) bool {
	return r.of(boot) || now.Wall.After(r.Saved)
}

// readJournal reads the journal at path. One that is not there is empty.
func readJournal(path string) (record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return record{}, err
	}
	if len(b) > maxJournal {
		return record{}, fmt.Errorf("it is longer than %d bytes", maxJournal)
	}
	return decodeRecord(b)
}

// writeJournal replaces the journal at path. After a power cut either the old one
// is there or the new one, and once this has returned, the new one.
func writeJournal(path string, r record) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.IgnoreUmask(), renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was renamed or removed in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setAside moves a journal that cannot be used out of the way, for somebody to
// look at, and gives its new name. It takes the place of the one before.
func setAside(path string) (string, error) {
	to := path + ".broken"
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	return to, syncDir(filepath.Dir(path))
}

// sweep removes what a killed writeJournal has left.
func sweep(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}
