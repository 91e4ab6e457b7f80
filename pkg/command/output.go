package command

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput is what is told of an output, in bytes, and maxTail what is kept of it for that.
	maxOutput = 200
	maxTail   = 4 << 10
	// maxRest is what is still read when the program has ended: a pipe is not larger.
	maxRest = 64 << 10
)

// An output is a pipe that keeps the end of what a program prints. The program gets it for reading and writing: so
// what it leaves behind in the background is not killed by a pipe that nobody reads any more, and nobody has to read on.
type output struct {
	ours, theirs *os.File
	tail         []byte
	done         chan struct{} // follow has ended
}

func newOutput() (*output, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	defer unix.Close(p[1])
	both, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", p[0]), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(p[0])
		return nil, fmt.Errorf("failed to open it again: %w", err)
	}
	o := &output{os.NewFile(uintptr(p[0]), "output"), os.NewFile(uintptr(both), "output"), nil, make(chan struct{})}
	go o.follow()
	return o, nil
}

// follow reads until the deadline that end sets.
func (o *output) follow() {
	defer close(o.done)
	b := make([]byte, maxTail)
	for {
		n, err := o.ours.Read(b)
		o.keep(b[:n])
		if err != nil {
			return
		}
	}
}

// keep adds b to the tail.
func (o *output) keep(b []byte) {
	o.tail = append(o.tail, b...)
	if len(o.tail) > maxTail {
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-maxTail:]...)
	}
}

// end gives the last of what was printed, and closes the pipe. Whoever still has it open writes into nothing: not even
// a full pipe makes him wait.
func (o *output) end() string {
	_ = o.ours.SetReadDeadline(time.Unix(1, 0))
	<-o.done
	o.rest()
	if c, err := o.theirs.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = syscall.SetNonblock(int(fd), true) })
	}
	o.ours.Close()
	o.theirs.Close()
	return oneLine(string(o.tail))
}

// rest reads what is in the pipe already.
func (o *output) rest() {
	c, err := o.ours.SyscallConn()
	if err != nil {
		return
	}
	b := make([]byte, maxTail)
	_ = c.Control(func(fd uintptr) {
		for left := maxRest; left > 0; {
			n, err := unix.Read(int(fd), b)
			if n <= 0 || err != nil {
				return
			}
			o.keep(b[:n])
			left -= n
		}
	})
}

// oneLine makes of an output the end of one printable line.
func oneLine(text string) string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	printable := func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}
	s := strings.Map(printable, strings.Join(lines, "; "))
	for cut := max(0, len(s)-maxOutput); ; cut++ {
		if cut == len(s) || utf8.RuneStart(s[cut]) {
			return s[cut:]
		}
	}
}
