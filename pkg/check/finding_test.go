package check

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/ui"
)

func TestReport(t *testing.T) {
	t.Parallel()
	findings := []finding{
		okf("all is well"), notef("a < b & c"), problemf("bad %q", "x\x1b[2J"), problemf("\x1b[2J worse\nok: no").fixed("do %s", "that"),
	}
	for name, tt := range map[string]struct {
		config config.Daemon
		want   string
	}{
		"text":  {config.Daemon{}, "ok: all is well\nnote: a < b & c\nproblem: bad \"x\\x1b[2J\"\nproblem: \ufffd[2J worse\ufffdok: no\n  fix: do that\n"},
		"quiet": {config.Daemon{Quiet: true}, "problem: bad \"x\\x1b[2J\"\nproblem: \ufffd[2J worse\ufffdok: no\n  fix: do that\n"},
		"json": {config.Daemon{Output: config.OutputJSON}, `{"level":"ok","text":"all is well"}
{"level":"note","text":"a < b & c"}
{"level":"problem","text":"bad \"x\\x1b[2J\""}
{"level":"problem","text":"�[2J worse�ok: no","fix":"do that"}
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			r := newReport(&tt.config, &b)
			r.add(findings...)
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if err := r.verdict(); err == nil || err.Error() != "2 problems found" {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no more paper") }

func TestVerdict(t *testing.T) {
	t.Parallel()
	r := newReport(new(config.Daemon), new(strings.Builder))
	r.add(okf("x"), notef("y"))
	if err := r.verdict(); err != nil {
		t.Errorf("without a problem: %v", err)
	}
	r.add(problemf("z"))
	if err := r.verdict(); err == nil || err.Error() != "1 problem found" {
		t.Errorf("with one: %v", err)
	}
	r = newReport(new(config.Daemon), failing{})
	r.add(okf("x"))
	if err := r.verdict(); err == nil || !strings.Contains(err.Error(), "no more paper") {
		t.Errorf("without paper: %v", err)
	}
}

func TestRunRefusesReplay(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := Run(t.Context(), &config.Daemon{Replay: "-"}, &b)
	if ui.Fail(&b, "knockdaemon", err) != ui.StatusUsage || b.String() != "knockdaemon: error: check and replay exclude each other\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestIssues(t *testing.T) {
	t.Parallel()
	var s issues
	for port := range uint16(30) {
		s.add(tcp(port), issue{note, "", " is odd or even", ""})
		s.add(tcp(port), issue{problem, "here ", " is " + portList([]int{int(port) / 2}), ""})
	}
	s.add(config.PortProto{Port: 30, Proto: packet.UDP}, issue{note, "", " is odd or even", ""})
	findings := s.findings()
	want := []finding{{note, "TCP 0..29 is odd or even", ""}, {problem, "here TCP 0..1 is 0", ""}}
	if diff := cmp.Diff(want, findings[:2]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want = []finding{{note, "UDP 30 is odd or even", ""}, {problem, "and 3 more of this kind about these ports", ""}}
	if diff := cmp.Diff(want, findings[len(findings)-2:]); diff != "" || len(findings) != 15 {
		t.Errorf("%d findings, the last (-want +got)\n%s", len(findings), diff)
	}
	if got := portList([]int{22, 80, 81, 90}); got != "22, 80..81, 90" {
		t.Errorf("a list of ports is %q", got)
	}
}
