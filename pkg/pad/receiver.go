package pad

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
)

// Receiver opens the messages of a pad. It may be used from several goroutines.
type Receiver struct {
	pad       pad
	place     place
	lookAhead int
	lock      io.Closer // nil: nothing is written to the disk

	mu      sync.Mutex
	next    int
	window  []sealer // of next and what follows it, lookAhead of them if there are
	sealing sealing
	unsaved bool // next is not on the disk
}

// OpenReceiver reads the pad at path and its place in stateDir, a directory that is
// there and that nobody else can write to. It is an error if the pad is damaged, or
// can be read by others (unless that is allowed), if the place cannot be read or
// written, if another Receiver has it, or if LookAhead is out of its range.
func OpenReceiver(path, stateDir string, o Options) (*Receiver, error) {
	r, err := newReceiver(path, stateDir, o)
	if err != nil {
		return nil, err
	}
	if r.lock, err = r.place.lock(patience); err != nil {
		return nil, err
	}
	if err := r.begin(); err != nil {
		r.lock.Close()
		return nil, err
	}
	if err := r.place.write(r.next); err != nil { // better now than at the first knock
		r.lock.Close()
		return nil, err
	}
	return r, nil
}

// OpenReader is [OpenReceiver] for who only says what would be done: it begins at the
// place in stateDir, changes nothing there, and goes on in memory alone.
func OpenReader(path, stateDir string, o Options) (*Receiver, error) {
	r, err := newReceiver(path, stateDir, o)
	if err != nil {
		return nil, err
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	return r, nil
}

func newReceiver(path, stateDir string, o Options) (*Receiver, error) {
	o.LookAhead = cmp.Or(o.LookAhead, defaultLookAhead)
	if o.LookAhead < 1 || o.LookAhead > MaxLookAhead {
		return nil, fmt.Errorf("%d places of the one-time pad cannot be tried, want 1 to %d", o.LookAhead, MaxLookAhead)
	}
	p, err := open(path, o.AllowReadable)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(stateDir, "pad-"+p.digits())
	return &Receiver{pad: p, place: place{file, p.sum, p.knocks()}, lookAhead: o.LookAhead}, nil
}

// begin takes up the place on the disk.
func (r *Receiver) begin() error {
	next, err := r.place.read()
	if err != nil {
		return err
	}
	r.moveTo(next)
	return nil
}

// moveTo makes next the next place.
func (r *Receiver) moveTo(next int) {
	r.window = r.window[min(next-r.next, len(r.window)):]
	r.next = next
	for len(r.window) < r.lookAhead && next+len(r.window) < r.pad.knocks() {
		r.window = append(r.window, r.pad.sealer(next+len(r.window)))
	}
}

// Open returns the payload of a message of 15 bytes, and its place, for
// [Receiver.Use]. It is [ErrNone] if the message is not of one of the next places, or
// of another length; that allocates nothing. Open uses up nothing: heed no payload
// before Use has returned nil.
func (r *Receiver) Open(message []byte) (payload [7]byte, place int, err error) {
	if len(message) != Length {
		return payload, 0, ErrNone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	copy(r.sealing.authentic[:], message[:payloadLength])
	for i := range r.window {
		s := &r.window[i]
		if subtle.ConstantTimeCompare(s.tag(&r.sealing), message[payloadLength:]) == 1 {
			subtle.XORBytes(payload[:], message[:payloadLength], s.pad[:])
			return payload, s.place, nil
		}
	}
	return payload, 0, ErrNone
}

// Use uses up the pad up to a place that [Receiver.Open] gave, and that one too. When
// it returns nil that is on the disk: heed the payload. Any error means: refuse it.
// It is [ErrSpent] if the place was used up before. If it cannot be written down,
// the place counts as used nevertheless, and is written with the next that can be:
// the message has been seen on its way. It is lost if the process is killed before.
func (r *Receiver) Use(place int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if place < r.next {
		return ErrSpent
	}
	if place >= r.next+len(r.window) {
		return fmt.Errorf("place %d of the one-time pad is not one of the next %d", place, len(r.window))
	}
	r.moveTo(place + 1)
	r.unsaved = true
	return r.save()
}

// save writes the place down if need be.
func (r *Receiver) save() error {
	if !r.unsaved || r.lock == nil {
		return nil
	}
	if err := r.place.write(r.next); err != nil {
		return err
	}
	r.unsaved = false
	return nil
}

// Left returns for how many knocks the pad still serves.
func (r *Receiver) Left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pad.knocks() - r.next
}

// Close writes down a place that could not be written so far, and lets others have
// the pad. Its error says if knocks may open again that have been seen already. The
// Receiver opens nothing after it.
func (r *Receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window = nil
	if r.lock == nil {
		return nil
	}
	err := r.save()
	lock := r.lock
	r.lock = nil
	return errors.Join(err, lock.Close())
}

// Is tells whether r is of the pad that the file at path says it is, by the checksum
// at its end alone: who reads his settings again can then keep r. The errors are
// those of a file that cannot be read, or is too short.
func (r *Receiver) Is(path string) (bool, error) {
	sum, err := readSum(path)
	return err == nil && sum == r.pad.sum, err
}
