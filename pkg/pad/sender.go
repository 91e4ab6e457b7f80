package pad

import "sync"

// Sender makes the messages of a pad. It may be used from several goroutines, and
// beside other Senders of the same file, in this process or another.
type Sender struct {
	pad   pad
	place place

	mu   sync.Mutex
	next int // as it was when last looked at; it is never gone behind
}

// OpenSender reads the pad at path and its place beside it. It is an error if the pad
// is damaged, or can be read by others (unless that is allowed), or if there is a
// place that cannot be read. Nothing is used up yet.
func OpenSender(path string, o Options) (*Sender, error) {
	p, err := open(path, o.AllowReadable)
	if err != nil {
		return nil, err
	}
	s := &Sender{pad: p, place: place{path + ".place-" + p.digits(), p.sum, p.knocks()}}
	if s.next, err = s.place.read(); err != nil {
		return nil, err
	}
	return s, nil
}

// Seal returns the message of payload and uses up the next bytes of the pad, whether
// or not the message is sent: that they are is on the disk before it returns. It is
// [ErrUsedUp] when there are none, and an error if the place cannot be written, or
// if another process holds it for more than 5 s. After an error nothing that may be
// sent is known, and what was used up is not used again.
func (s *Sender) Seal(payload [7]byte) (message [Length]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lock, err := s.place.lock(patience)
	if err != nil {
		return message, err
	}
	defer lock.Close()
	next, err := s.place.read()
	if err != nil {
		return message, err
	}
	s.next = max(s.next, next) // the file may have been removed meanwhile
	if s.next >= s.pad.knocks() {
		return message, ErrUsedUp
	}
	if err := s.place.write(s.next + 1); err != nil {
		return message, err
	}
	s.next++
	return s.pad.sealer(s.next - 1).seal(payload), nil
}

// Left returns for how many knocks the pad still serves, as of the last Seal.
func (s *Sender) Left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pad.knocks() - s.next
}

// Used returns how many knocks the pad has served for here, as of the last Seal: 1
// after the first, and also if the place of one that was used before is gone.
func (s *Sender) Used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}
