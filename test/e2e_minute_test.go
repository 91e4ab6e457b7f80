package test

import (
	"net"
	"testing"
	"time"
)

// echoed sends a byte over a connection and wants it back.
func echoed(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte{'x'}); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// TIME 1 is a minute. Who is in by then stays in.
func TestMinute(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	before := l.rules()
	d := l.daemon()
	empty := l.rules()
	l.knock("-port", "22", "-time", "1")
	opened := d.next("rule opened")
	c, err := l.dial(laptopIP, 22, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := echoed(c); err != nil {
		t.Fatal(err)
	}

	var expired map[string]any
	for end := time.Now().Add(time.Minute + patience); !d.find("rule expired", &expired); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a minute is over, and the rule is there")
		}
	}
	lasted := d.timeOf(expired, "time").Sub(d.timeOf(opened, "time"))
	if lasted < 59*time.Second || lasted > 65*time.Second {
		t.Errorf("the port was open for %v, want a minute", lasted)
	}
	l.wantClosed(laptopIP, 22)
	l.wantBefore(empty)
	if err := echoed(c); err != nil {
		t.Errorf("the connection ended with the rule: %v", err)
	}
	d.stop()
	l.wantBefore(before)
}
