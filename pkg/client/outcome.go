package client

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// Results of a knock, and of each of its ports.
const (
	resultSent      = "sent"       // nobody looked what became of it
	resultOpen      = "open"       // it is open, which it was not before the knock
	resultNotOpen   = "not-open"   // it is not, after all knocks
	resultWasOpen   = "was-open"   // it was open before the knock
	resultClosed    = "closed"     // nobody can connect any more
	resultNotClosed = "not-closed" // one still can
	resultFailed    = "failed"     // something went wrong on the way; of a port: nothing is known of it
)

// An outcome is what became of a knock. With the setting json it is written to standard output as one object, in one
// line, also if something goes wrong:
//
//	{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"open","listening":true}],
//	 "ip":"192.0.2.2","time":15,"knocks":1,"seconds":0.42,"result":"open"}
//
// Result is the worst of the ports' results: not-open or not-closed if one of them is; was-open if all were open before
// the knock; failed if there was no telling. What is not known is not there: address of a host that was not found, ip
// and time of a sequence, listening of a port that nobody looked at.
type outcome struct {
	Host    string        `json:"host"`              // as it was given
	Address string        `json:"address,omitempty"` // of the host
	Ports   []portOutcome `json:"ports"`
	IP      string        `json:"ip,omitempty"`   // that the ports were to be opened to
	Time    *uint8        `json:"time,omitempty"` // minutes; 0: no limit; 255: to be closed
	Knocks  int           `json:"knocks"`         // how many were sent, of all ports together
	Seconds float64       `json:"seconds"`        // from the first knock to the last port's result
	Result  string        `json:"result"`
	Error   string        `json:"error,omitempty"` // what was said on standard error

	must     string // be the same at both ends
	pad      bool   // made the knocks
	verified *verifier
	seen     string // the address that the host knows us by, as far as we know
}

// A portOutcome is what became of one port.
type portOutcome struct {
	Port      uint16 `json:"port"`
	Result    string `json:"result"`
	Listening *bool  `json:"listening,omitempty"` // somebody took the connection
}

func newOutcome(c *config.Client) *outcome {
	o := &outcome{Host: c.Host, Ports: []portOutcome{}}
	switch {
	case c.Sequence != nil:
		o.must = "the sequence"
	case c.Pad != "":
		o.Time, o.must, o.pad = &c.Time, "pad and port-min", true
	default:
		o.Time, o.must = &c.Time, "key, cipher, header and port-min"
	}
	for _, port := range c.Ports {
		o.Ports = append(o.Ports, portOutcome{Port: port, Result: resultSent})
	}
	return o
}

func (o *outcome) setWay(w way) {
	if w.host.IsValid() {
		o.Address, o.seen = w.host.String(), w.src.WithZone("").String() // the zone is ours alone
	}
	if w.open.IsValid() {
		o.IP, o.seen = w.open.String(), w.open.String()
	}
}

// setVerified takes what the look at the ports has told.
func (o *outcome) setVerified(v *verifier) {
	o.verified, o.Knocks = v, v.knocks
	if !v.began.IsZero() {
		o.Seconds = math.Round(time.Since(v.began).Seconds()*100) / 100
	}
	for i, t := range v.targets {
		listening := t.after == accepted || v.wasOpen(t)
		o.Ports[i] = portOutcome{t.port, v.resultOf(t), &listening}
	}
}

func (v *verifier) resultOf(t *target) string {
	switch {
	case v.wasOpen(t):
		return resultWasOpen
	case v.closing && t.done:
		return resultClosed
	case v.closing:
		return resultNotClosed
	case t.done:
		return resultOpen
	}
	return resultNotOpen
}

// settle gives the result of the whole.
func (o *outcome) settle(err error) {
	o.Result = resultSent
	if err != nil {
		o.Result, o.Error = resultFailed, err.Error()
		for i := range o.Ports {
			o.Ports[i] = portOutcome{Port: o.Ports[i].Port, Result: resultFailed}
		}
		return
	}
	rank := []string{resultSent, resultWasOpen, resultOpen, resultClosed, resultNotOpen, resultNotClosed}
	worst := 0
	for _, p := range o.Ports {
		for i, result := range rank {
			if p.Result == result {
				worst = max(worst, i)
			}
		}
	}
	o.Result = rank[worst]
}

// tell says what became of the knock, and gives the error that the client ends with. Who uses the port at once is told
// nothing if that can be done.
func (c *Client) tell(o *outcome, err error) error {
	o.settle(err)
	uses := c.Config.After.Proxy || c.Config.After.Exec != ""
	if err == nil {
		err = o.failure()
	}
	if c.Config.JSON {
		if err != nil {
			o.Error = err.Error()
		}
		if err := json.NewEncoder(c.Stdout).Encode(o); err != nil {
			return fmt.Errorf("failed to say what became of the knock: %w", err)
		}
	}
	switch {
	case err != nil || uses:
		return err
	case c.Config.After.Verify && !c.Config.Quiet && !c.Config.JSON:
		if _, err := fmt.Fprintln(c.Stdout, o.sentence()); err != nil {
			return err
		}
	}
	if o.Result == resultWasOpen {
		return ui.Status(nil, ui.StatusBefore)
	}
	return nil
}
