package sequence

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

// dynamic gives a section with 10 seconds of time for SYNs.
func dynamic(text string, digits uint16) Section {
	s := plain(text)
	s.Digits = digits
	return s
}

func TestDynamic(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		steps        string
		digits, port uint16
		want, err    string
	}{
		"ssh":         {"1042,1044,1043", 1040, 22, "1042,1044,1043,1042,1042,1042,1044,1043", ""},
		"highest":     {"1042,1044,1043", 1040, 65535, "1042,1044,1043,1046,1045,1045,1043,1045,1042,1044,1043", ""},
		"UDP":         {"7:udp", 65526, 9, "7:udp,65535,7:udp", ""},
		"inside":      {"1042,1044,1043", 1040, 243, "1042,1044,1043,1042,1044,1043,1042,1044,1043", ""},
		"read before": {"1042,1044,1043", 1040, 1243, "", "port 1243 cannot be asked for with 1042,1044,1043 and digit 0 at 1040: it would be read as 1"},
		"read as end": {"1042,1044,1043", 1040, 2432, "", "port 2432 cannot be asked for with 1042,1044,1043 and digit 0 at 1040: it would be read as 2"},
		"short":       {"1042", 1040, 222, "", "port 222 cannot be asked for with 1042 and digit 0 at 1040: it would be read as 2"},
		"port 0":      {"1042,1044,1043", 1040, 0, "", "0 is no port to ask for: want 1..65535"},
		"no digits":   {"1042", 0, 22, "", "a dynamic port needs a sequence and a port of digit 0"},
		"no steps":    {"", 1040, 22, "", "a dynamic port needs a sequence and a port of digit 0"},
		"no room":     {"1042", 65530, 22, "", "65530 is no port for digit 0: want 1..65526"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var steps, want []Step
			if test.steps != "" {
				steps = mustParse(test.steps)
			}
			if test.want != "" {
				want = mustParse(test.want)
			}
			got, err := Dynamic(steps, test.digits, test.port)
			if err == nil != (test.err == "") || err != nil && err.Error() != test.err {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestObserveDynamic(t *testing.T) {
	t.Parallel()
	apart, inside := dynamic("7000,8000,9000", 1040), dynamic("1042,1044,1043", 1040)
	for name, test := range map[string]struct {
		sections []Section
		packets  string
		want     string
	}{
		"22":                         {[]Section{apart}, "7000 8000 9000 1042 1042 7000 8000 9000", "8:0=22"},
		"1":                          {[]Section{apart}, "7000 8000 9000 1041 7000 8000 9000", "7:0=1"},
		"65535":                      {[]Section{apart}, "7000 8000 9000 1046 1045 1045 1043 1045 7000 8000 9000", "11:0=65535"},
		"65536":                      {[]Section{apart}, "7000 8000 9000 1046 1045 1045 1043 1046 7000 8000 9000", ""},
		"six digits":                 {[]Section{apart}, "7000 8000 9000 1041 1041 1041 1041 1041 1041 7000 8000 9000", ""},
		"no digit":                   {[]Section{apart}, "7000 8000 9000 7000 8000 9000", ""},
		"0":                          {[]Section{apart}, "7000 8000 9000 1040 7000 8000 9000", ""},
		"022":                        {[]Section{apart}, "7000 8000 9000 1040 1042 1042 7000 8000 9000", ""},
		"220":                        {[]Section{apart}, "7000 8000 9000 1042 1042 1040 7000 8000 9000", "9:0=220"},
		"each sent again":            {[]Section{apart}, "7000#1 7000#1 8000#2 9000#3 8000#2 1042#4 1042#4 1042#5 1042#4 7000#6 7000#1 8000#7 9000#8 9000#8", "13:0=22"},
		"one after the other":        {[]Section{apart}, "7000 8000 9000 1042 1042 7000 8000 9000 1043 7000 8000 9000 7000 8000 9000 1044 7000 8000 9000", "8:0=22 19:0=4"},
		"a step missing":             {[]Section{apart}, "7000 8000 9000 1042 1042 7000 9000", ""},
		"a step too many":            {[]Section{apart}, "7000 8000 9000 1042 9000 1042 7000 8000 9000", ""},
		"a digit too many":           {[]Section{apart}, "7000 8000 9000 1042 1042 7000 1042 8000 9000", ""},
		"anew":                       {[]Section{apart}, "7000 8000 9000 1042 7000 7000 8000 9000 1042 7000 8000 9000", "12:0=2"},
		"strays":                     {[]Section{apart}, "7000 1 8000 1 9000 1 1042 1 1042 1 7000 1 8000 1 9000", "15:0=22"},
		"too many strays":            {[]Section{apart}, "7000 1 8000 1 9000 1 1042 1 1042 1 7000 1 8000 1 1 9000", ""},
		"UDP is no digit":            {[]Section{dynamic("7:udp,8", 1040)}, "7:udp 8 1042:udp 1041 7:udp 8", "6:0=1"},
		"too late":                   {[]Section{apart}, "7000 8000 9000 1042 1042 +10001ms 7000 8000 9000", ""},
		"in time":                    {[]Section{apart}, "7000 8000 9000 1042 1042 +10s 7000 8000 9000", "8:0=22"},
		"steps are digits":           {[]Section{inside}, "1042 1044 1043 1042 1042 1042 1044 1043", "8:0=22"},
		"the sequence itself":        {[]Section{inside}, "1042 1044 1043 1042 1044 1043 1042 1044 1043", "9:0=243"},
		"not the longest":            {[]Section{inside}, "1042 1044 1043 1041 1042 1044 1043", "7:0=1"},
		"not the longest, later":     {[]Section{inside}, "1042 1044 1043 1041 1042 1044 1043 1042 1044 1043", "7:0=1"},
		"a plain one at both ends":   {[]Section{apart, plain("7000,8000,9000")}, "7000 8000 9000 1042 1042 7000 8000 9000", "3:1 8:0=22 8:1"},
		"a plain one around a digit": {[]Section{apart, plain("9000,1042,7000")}, "7000 8000 9000 1042 7000 8000 9000", "5:1 7:0=2"},
		"used by another":            {[]Section{apart, plain("9000,1")}, "7000 8000 9000 1 1042 7000 8000 9000", "4:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{}, test.sections...), now: start}
			if got := y.play(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// misread tells whether the digits of a port, between those of a sequence, are anywhere read as another port: in words.
func misread(sequence, port string) bool {
	all := sequence + port + sequence
	for end := range len(all) + 1 {
		for n := 1; n <= 5; n++ {
			begin := end - n - 2*len(sequence)
			if begin < 0 || !strings.HasPrefix(all[begin:], sequence) || !strings.HasSuffix(all[:end], sequence) {
				continue
			}
			digits := all[begin+len(sequence) : end-len(sequence)]
			if value, _ := strconv.Atoi(digits); value == 0 || value > 65535 || digits[0] == '0' {
				continue
			}
			if digits != port || end != len(all) {
				return true
			}
			break
		}
	}
	return false
}

// Every port either cannot be asked for, or is read as exactly that port when the last packet comes, and nothing is read
// before: by a Matcher that has seen all the others.
func TestDynamicIsReadBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		steps    string
		digits   uint16
		sequence string // in digits
		refused  int
		each     uint16 // so many ports further is the next one that is sent
	}{
		{"7000,8000,9000", 1040, "abc", 0, 1},
		{"1042,1044,1043", 1040, "243", 224, 1},
		{"1042", 1040, "2", 28647, 13},
		{"1041,1041", 1040, "11", 16452, 13},
		{"1040,1042", 1040, "02", 1899, 13},
		{"1042:udp,1043:udp", 1040, "ab", 0, 13},
	} {
		t.Run(test.steps, func(t *testing.T) {
			t.Parallel()
			s := dynamic(test.steps, test.digits)
			y := &asker{t: t, m: mustNew(t, Options{MaxSources: 1}, s), now: start}
			refused := 0
			for port := uint16(65535); port >= 1; port-- {
				all, err := Dynamic(s.Steps, s.Digits, port)
				if (err != nil) != misread(test.sequence, strconv.Itoa(int(port))) {
					t.Fatalf("port %d: %v", port, err)
				}
				if err != nil {
					refused++
				} else if port%test.each == 0 {
					y.ask(port, all)
				}
			}
			if refused != test.refused {
				t.Errorf("%d ports refused, want %d", refused, test.refused)
			}
		})
	}
}

type asker struct {
	t    *testing.T
	m    *Matcher
	now  time.Time
	from uint16
}

// ask sends all packets, and has the last of them, and no other, ask for the port.
func (a *asker) ask(port uint16, all []Step) {
	a.t.Helper()
	for i, step := range all {
		a.from++
		p := packet.Packet{Src: names["a"], SrcPort: a.from | 1<<15, Proto: step.Proto, DstPort: step.Port, Flags: packet.SYN}
		got := a.m.Observe(p, a.now)
		if i < len(all)-1 && len(got) > 0 || i == len(all)-1 && (len(got) != 1 || got[0].Port != port) {
			a.t.Fatalf("port %d: %+v after packet %d of %v", port, got, i, all)
		}
	}
	a.now = a.now.Add(time.Second)
}
