package firewall

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRuleArgs(t *testing.T) {
	t.Parallel()
	const (
		head     = "-s 192.0.2.1/32 -p tcp -m tcp --dport 22 "
		tail     = "-m comment --comment knockdaemon -j ACCEPT"
		dropHead = "-s 192.0.2.1/32 -m conntrack --ctstate NEW "
		dropTail = "-m comment --comment knockdaemon -j DROP"
	)
	accept, shut := rule("192.0.2.1", 22), drop("192.0.2.1")
	west := time.FixedZone("west", -3600)
	tests := map[string]struct {
		entry   Entry
		untimed bool
		want    string
	}{
		"without an end":         {entry: always(accept), want: head + tail},
		"UDP":                    {entry: always(udp(accept)), want: "-s 192.0.2.1/32 -p udp -m udp --dport 22 " + tail},
		"the second before":      {entry: until(accept, "2026-11-21T12:00:00Z"), want: head + "-m time --datestop 2026-11-21T11:59:59 " + tail},
		"cut to the second":      {entry: until(accept, "2026-11-21T12:34:56.999Z"), want: head + "-m time --datestop 2026-11-21T12:34:55 " + tail},
		"in UTC":                 {entry: Entry{accept, time.Date(2026, 11, 21, 23, 30, 1, 0, west)}, want: head + "-m time --datestop 2026-11-22T00:30:00 " + tail},
		"last end":               {entry: until(accept, "2038-01-19T03:14:07Z"), want: head + "-m time --datestop 2038-01-19T03:14:06 " + tail},
		"past the last end":      {entry: until(accept, "2038-01-19T03:14:08Z"), want: head + tail},
		"far":                    {entry: until(accept, "9999-01-01T00:00:00Z"), want: head + tail},
		"long ago":               {entry: until(accept, "1969-01-01T00:00:00Z"), want: head + "-m time --datestop 1970-01-01T00:00:01 " + tail},
		"without xt_time":        {entry: until(accept, "2026-11-21T12:34:56Z"), untimed: true, want: head + tail},
		"drop":                   {entry: always(shut), want: dropHead + dropTail},
		"drop with an end":       {entry: until(shut, "2026-11-21T12:34:56Z"), want: dropHead + "-m time --datestop 2026-11-21T12:34:55 " + dropTail},
		"drop without xt_time":   {entry: until(shut, "2026-11-21T12:34:56Z"), untimed: true, want: dropHead + dropTail},
		"drop past the last end": {entry: until(shut, "2038-01-19T03:14:08Z"), want: dropHead + dropTail},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, strings.Join(newPlaces("KNOCK").in.ruleArgs(tt.entry, !tt.untimed), " ")); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForwardArgs(t *testing.T) {
	t.Parallel()
	r := forward("192.0.2.1", 2222, "10.0.0.5:22")
	const (
		udpThrough = "-s 192.0.2.1/32 -d 10.0.0.5/32 -p udp -m udp --dport 22 -m conntrack --ctstate DNAT --ctorigdstport 2222 "
		udpAway    = "-s 192.0.2.1/32 -p udp -m udp --dport 2222 -m addrtype --dst-type LOCAL "
		end        = "-m time --datestop 2026-11-21T12:34:55 "
		accept     = "-m comment --comment knockdaemon -j ACCEPT"
		dnat       = "-m comment --comment knockdaemon -j DNAT --to-destination 10.0.0.5:22"
	)
	tests := map[string]struct {
		entry         Entry
		untimed       bool
		through, away string
	}{
		"TCP":             {entry: always(r), through: strings.TrimSpace(throughSpec), away: strings.TrimSpace(awaySpec)},
		"TCP with an end": {entry: until(r, "2026-11-21T12:34:56Z"), through: strings.TrimSpace(timedThrough), away: strings.TrimSpace(timedAway)},
		"UDP":             {entry: always(udp(r)), through: udpThrough + accept, away: udpAway + dnat},
		"UDP with an end": {entry: until(udp(r), "2026-11-21T12:34:56Z"), through: udpThrough + end + accept, away: udpAway + end + dnat},
		"without xt_time": {entry: until(udp(r), "2026-11-21T12:34:56Z"), untimed: true, through: udpThrough + accept, away: udpAway + dnat},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := []string{tt.through, tt.away}
			var got []string
			for _, p := range newPlaces("KNOCK").of(tt.entry.Rule) {
				got = append(got, strings.Join(p.ruleArgs(tt.entry, !tt.untimed), " "))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
