package control

import (
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hostile is a daemon of which every name was chosen to break something.
func hostile() Status {
	return Status{
		Version: "v1\"\n\\\x1b[2J\xff", Started: time.Unix(0, 0),
		Sources: []Source{{Name: "a\nb\"} 1", Watching: true}, {Name: `\`}, {Name: `\`, Watching: true}},
		Leases:  []Lease{{Action: "none\n"}},
		Keys:    []Key{{Name: "key a\"b\\\n"}, {Name: "key a\"b\\\n", Accepted: 7}, {Name: "section key x"}, {Name: "alien"}},
		Counters: []Counter{
			{Name: "odd name\n1", Help: "One \\ line.\n# TYPE x gauge\x1b", Value: 1.5},
			{Name: "knocks_total", Help: "Not total_total.", Value: math.MaxUint64},
			{Name: "leases", Gauge: true, Value: 99},
			{Name: "odd-name\n1", Value: 99},
			{Name: "infinite", Gauge: true, Value: math.Inf(1)},
		},
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status Status
		want   string
	}{
		"busy": {busy(), `# HELP knockdaemon_build_info The version of the daemon, in a label.
# TYPE knockdaemon_build_info gauge
knockdaemon_build_info{version="v1.2"} 1
# HELP knockdaemon_start_time_seconds When the daemon was started, in seconds since 1970.
# TYPE knockdaemon_start_time_seconds gauge
knockdaemon_start_time_seconds 1772326867
# HELP knockdaemon_source_watching Whether packets are read from a source: 1 or 0.
# TYPE knockdaemon_source_watching gauge
knockdaemon_source_watching{source="/var/log/knock.log"} 1
knockdaemon_source_watching{source="eth0"} 0
# HELP knockdaemon_leases What is open, forwarded or banned at the moment.
# TYPE knockdaemon_leases gauge
knockdaemon_leases{action="open"} 3
knockdaemon_leases{action="forward"} 1
knockdaemon_leases{action="ban"} 1
# HELP knockdaemon_key_accepted_total Knocks that were accepted.
# TYPE knockdaemon_key_accepted_total counter
knockdaemon_key_accepted_total{key=""} 0
knockdaemon_key_accepted_total{key="alice"} 12
# HELP knockdaemon_section_accepted_total Knocks that were accepted.
# TYPE knockdaemon_section_accepted_total counter
knockdaemon_section_accepted_total{section="openSSH"} 3
# HELP knockdaemon_key_refused_total Knocks that were good, and refused.
# TYPE knockdaemon_key_refused_total counter
knockdaemon_key_refused_total{key=""} 0
knockdaemon_key_refused_total{key="alice"} 1
# HELP knockdaemon_section_refused_total Knocks that were good, and refused.
# TYPE knockdaemon_section_refused_total counter
knockdaemon_section_refused_total{section="openSSH"} 0
# HELP knockdaemon_key_last_accepted_timestamp_seconds When a knock was last accepted, in seconds since 1970.
# TYPE knockdaemon_key_last_accepted_timestamp_seconds gauge
knockdaemon_key_last_accepted_timestamp_seconds{key="alice"} 1772589727
# HELP knockdaemon_section_last_accepted_timestamp_seconds When a knock was last accepted, in seconds since 1970.
# TYPE knockdaemon_section_last_accepted_timestamp_seconds gauge
knockdaemon_section_last_accepted_timestamp_seconds{section="openSSH"} 1772600767
# HELP knockdaemon_key_knocks_left Knocks left of a one-time pad or a list of sequences.
# TYPE knockdaemon_key_knocks_left gauge
knockdaemon_key_knocks_left{key="alice"} 30
# HELP knockdaemon_packets_seen_total Packets seen.
# TYPE knockdaemon_packets_seen_total counter
knockdaemon_packets_seen_total 123456
# HELP knockdaemon_lines_unreadable_total Lines that could not be read.
# TYPE knockdaemon_lines_unreadable_total counter
knockdaemon_lines_unreadable_total 0
# HELP knockdaemon_queue_seconds How far behind.
# TYPE knockdaemon_queue_seconds gauge
knockdaemon_queue_seconds 0.25
`},
		"hostile": {hostile(), `# HELP knockdaemon_build_info The version of the daemon, in a label.
# TYPE knockdaemon_build_info gauge
knockdaemon_build_info{version="v1\"\\x0a\\\\x1b[2J\\xff"} 1
# HELP knockdaemon_start_time_seconds When the daemon was started, in seconds since 1970.
# TYPE knockdaemon_start_time_seconds gauge
knockdaemon_start_time_seconds 0
# HELP knockdaemon_source_watching Whether packets are read from a source: 1 or 0.
# TYPE knockdaemon_source_watching gauge
knockdaemon_source_watching{source="a\\x0ab\"} 1"} 1
knockdaemon_source_watching{source="\\"} 0
# HELP knockdaemon_leases What is open, forwarded or banned at the moment.
# TYPE knockdaemon_leases gauge
knockdaemon_leases{action="open"} 0
knockdaemon_leases{action="forward"} 0
knockdaemon_leases{action="ban"} 0
# HELP knockdaemon_key_accepted_total Knocks that were accepted.
# TYPE knockdaemon_key_accepted_total counter
knockdaemon_key_accepted_total{key="a\"b\\\\x0a"} 0
knockdaemon_key_accepted_total{key="alien"} 0
# HELP knockdaemon_section_accepted_total Knocks that were accepted.
# TYPE knockdaemon_section_accepted_total counter
knockdaemon_section_accepted_total{section="key x"} 0
# HELP knockdaemon_key_refused_total Knocks that were good, and refused.
# TYPE knockdaemon_key_refused_total counter
knockdaemon_key_refused_total{key="a\"b\\\\x0a"} 0
knockdaemon_key_refused_total{key="alien"} 0
# HELP knockdaemon_section_refused_total Knocks that were good, and refused.
# TYPE knockdaemon_section_refused_total counter
knockdaemon_section_refused_total{section="key x"} 0
# HELP knockdaemon_odd_name_1_total One \\ line.\\x0a# TYPE x gauge\\x1b
# TYPE knockdaemon_odd_name_1_total counter
knockdaemon_odd_name_1_total 1.5
# HELP knockdaemon_knocks_total Not total_total.
# TYPE knockdaemon_knocks_total counter
knockdaemon_knocks_total 1.8446744073709552e+19
# HELP knockdaemon_infinite A number that the daemon keeps.
# TYPE knockdaemon_infinite gauge
knockdaemon_infinite +Inf
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, metrics(test.status)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What Prometheus itself thinks of the metrics: it reads all of them, and has nothing to say of their names.
func TestMetricsAsPromtoolReadsThem(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("no promtool: it is in Debian's package prometheus")
	}
	check := func(text string) (string, error) {
		cmd := exec.Command(program, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for name, s := range map[string]Status{"busy": busy(), "hostile": hostile(), "empty": {Started: time.Unix(0, 1)}} {
		if out, err := check(metrics(s)); err != nil || out != "" {
			t.Errorf("%s: promtool says %v:\n%s", name, err, out)
		}
	}
	for _, wrong := range []string{
		"# TYPE a_total counter\na_total 1\n", "# HELP a A.\n# TYPE a counter\na 1\n", "# HELP a A.\n# TYPE a gauge\na{b=\"\n\"} 1\n",
	} {
		if out, err := check(wrong); err == nil || out == "" {
			t.Errorf("promtool has nothing to say of %q", wrong)
		}
	}
}
