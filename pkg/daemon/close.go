package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
)

// operator is who closes what -close names.
var operator = lease.By{Who: "operator"}

// closeEvery is how often it is looked whether what is to be closed is.
const closeEvery = 20 * time.Millisecond

// closeFor closes what is open to an address, and waits until the firewall has heard of it.
func (d *Daemon) closeFor(ctx context.Context, t control.Target) (closed []control.Lease, err error) {
	held := d.heldFor(t)
	for _, l := range held {
		if err := d.leases.Close(l.Rule, operator); err != nil {
			return nil, err
		}
	}
	ticker := time.NewTicker(closeEvery)
	defer ticker.Stop()
	for left := held; ; {
		for len(left) > 0 && d.leases.Gone(left[0].Rule) {
			left = left[1:]
		}
		if len(left) == 0 {
			return leasesOf(held), nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // nobody asks by then whether it is tried again
				return nil, errors.New("the daemon has been told to end, and the firewall was not changed yet: the log says what became of it")
			}
			return nil, errors.New("it is not closed yet: the firewall cannot be changed, which is being tried again, or somebody has knocked again meanwhile; the log says which")
		case <-ticker.C:
		}
	}
}

// heldFor gives what is open to the address of t, at its port if it has one. A ban is not open.
func (d *Daemon) heldFor(t control.Target) (list []lease.Lease) {
	for _, l := range d.leases.Leases() {
		if l.Rule.Action != firewall.Drop && l.Rule.Src == t.Address && (t.Port == 0 || l.Rule.Port == t.Port) {
			list = append(list, l)
		}
	}
	return list
}
