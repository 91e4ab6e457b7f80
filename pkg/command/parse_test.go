package command

import (
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text string) Command {
	t.Helper()
	c, err := Parse(text)
	check(t, err)
	return c
}

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) }

func TestParse(t *testing.T) {
	t.Parallel()
	sh := func(text string) []string { return []string{"/bin/sh", "-c", text} }
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"the manual's":   {"/sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT", []string{"/sbin/iptables", "-A", "INPUT", "-s", "192.0.0.7", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"}},
		"blanks":         {" \ta  b\t \tc ", []string{"a", "b", "c"}},
		"in a word":      {"a x%IP%:%IP%", []string{"a", "x192.0.0.7:192.0.0.7"}},
		"joined":         {"a %IP%IP%", sh("a 192.0.0.7IP%")},
		"other spelling": {"a %ip%", sh("a %ip%")},
		"quotes":         {`a "b c"`, sh(`a "b c"`)},
		"two commands":   {"a; b %IP%", sh("a; b 192.0.0.7")},
		"a pipe":         {"a|b", sh("a|b")},
		"background":     {"a &", sh("a &")},
		"a variable":     {"a $IP", sh("a $IP")},
		"an assignment":  {"A=1 b", sh("A=1 b")},
		"a comment":      {"a #b", sh("a #b")},
		"a home":         {"~/a", sh("~/a")},
		"a group":        {"{ a", sh("{ a")},
		"a builtin":      {"exec a", sh("exec a")},
		"a keyword":      {"while", sh("while")},
		"not a builtin":  {"executor if", []string{"executor", "if"}},
		"not ASCII":      {"é ü", []string{"é", "ü"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parse(t, test.text)
			if diff := cmp.Diff(test.want, c.argv(addr(7))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if c.Shell() != (test.want[0] == "/bin/sh") || c.String() != strings.Trim(test.text, " \t") {
				t.Errorf("%v, shell %v", c, c.Shell())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "the command is empty",
		" \t":                     "the command is empty",
		"a\x00b":                  `the command has a control character in it: "a\x00b"`,
		"a\nb":                    `the command has a control character in it: "a\nb"`,
		"a\r":                     `the command has a control character in it: "a\r"`,
		"a\x1b[2J":                `the command has a control character in it: "a\x1b[2J"`,
		"a \xff":                  "the command is not UTF-8",
		strings.Repeat("x", 4096): "the command has 4096 bytes, more than 4095",
	} {
		if c, err := Parse(text); err == nil || err.Error() != want || c != (Command{}) {
			t.Errorf("Parse(%q) = %v, %v, want %s", text, c, err, want)
		}
	}
}

// What is not given to a shell is what the shell would have made of it.
func TestSplitAsTheShellDoes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	const letters = "aZ09-_./:,@+  \té" + special
	tried := 0
	for range 20000 {
		var text strings.Builder
		text.WriteString("x")
		for range 1 + random.IntN(8) {
			text.WriteRune([]rune(letters)[random.IntN(len([]rune(letters)))])
		}
		c := parse(t, text.String())
		if c.Shell() {
			continue
		}
		if tried++; tried > 200 {
			return
		}
		out, err := exec.Command("/bin/sh", "-c", `printf '%s\n' `+text.String()).Output()
		check(t, err)
		if diff := cmp.Diff(string(out), strings.Join(c.argv(addr(1)), "\n")+"\n"); diff != "" {
			t.Errorf("%q (-shell's +ours)\n%s", text.String(), diff)
		}
	}
	t.Errorf("only %d commands without a shell were tried", tried)
}

// No address that can be had puts anything into a command that could mean something there.
func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1",
		"::ffff:192.0.2.1":    "192.0.2.1",
		"2001:DB8::1":         "2001:db8::1",
		"::":                  "::",
		"fe80::1%eth0":        "",
		"fe80::1%;reboot":     "",
		"::ffff:1.2.3.4%`id`": "",
	} {
		src := netip.MustParseAddr(text)
		got, err := address(src)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %q", src, got)
			}
			continue
		}
		check(t, err)
		if diff := cmp.Diff([]string{"/bin/sh", "-c", "a; b " + want}, parse(t, "a; b %IP%").argv(got)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if got, err := address(netip.Addr{}); err == nil {
		t.Errorf("no address is taken for %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("iptables -s %IP% -j ACCEPT", []byte{192, 0, 2, 1})
	f.Add("a; %%IP%IP%", []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, text string, ip []byte) {
		src, _ := netip.AddrFromSlice(ip)
		src, err := address(src)
		if err != nil {
			return
		}
		if rest := strings.Trim(src.String(), "0123456789abcdef.:"); rest != "" {
			t.Fatalf("%q in an address", rest)
		}
		c, err := Parse(text)
		if err != nil {
			if c != (Command{}) {
				t.Fatal("a command and an error")
			}
			return
		}
		var want []string
		for _, w := range strings.Split(strings.ReplaceAll(text, "\t", " "), " ") {
			if w != "" {
				want = append(want, strings.ReplaceAll(w, "%IP%", src.String()))
			}
		}
		if c.Shell() {
			want = []string{"/bin/sh", "-c", strings.ReplaceAll(strings.Trim(text, " \t"), "%IP%", src.String())}
		}
		if diff := cmp.Diff(want, c.argv(src)); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if again, err := Parse(c.String()); again != c || err != nil {
			t.Fatalf("read again: %v, %v", again, err)
		}
	})
}
