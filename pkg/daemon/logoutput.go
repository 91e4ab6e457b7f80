package daemon

import (
	"io"
	"log/syslog"
	"os"

	"github.com/portknock/knock/pkg/config"
)

// outputOf gives where the lines of the daemon's own log go: to w, and to whatever else c names.
func outputOf(c *config.Daemon, w io.Writer) io.Writer {
	all := outputs{w}
	if c.LogFile != "" {
		all = append(all, &logFile{path: c.LogFile})
	}
	if c.Syslog {
		all = append(all, new(syslogWriter))
	}
	return all
}

// outputs are written to one after the other, and what one cannot take the others get all the same.
type outputs []io.Writer

// Write gives the first error.
func (o outputs) Write(line []byte) (n int, err error) {
	for _, w := range o {
		if _, werr := w.Write(line); err == nil {
			err = werr
		}
	}
	return len(line), err
}

// A logFile is appended to. It is opened anew when somebody has moved it away, as logrotate does.
type logFile struct {
	path string
	file *os.File // nil: it is not open
}

func (l *logFile) Write(line []byte) (int, error) {
	if l.file != nil && l.moved() {
		_ = l.file.Close()
		l.file = nil
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	return l.file.Write(line)
}

func (l *logFile) open() (err error) {
	l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	return err
}

// try tells why l cannot be written, if it is there at all.
func (l *logFile) try() error {
	if l.path == "" {
		return nil
	}
	if err := l.open(); err != nil {
		return err
	}
	return l.file.Close()
}

func (l *logFile) moved() bool {
	named, err := os.Stat(l.path)
	held, herr := l.file.Stat()
	return err != nil || herr != nil || !os.SameFile(named, held)
}

// A syslogWriter sends lines to the system's log as those of a daemon, and looks for it anew when it was away.
type syslogWriter struct{ to *syslog.Writer }

func (s *syslogWriter) Write(line []byte) (int, error) {
	if s.to == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	return s.to.Write(line)
}

func (s *syslogWriter) open() (err error) {
	s.to, err = syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "knockdaemon")
	return err
}
