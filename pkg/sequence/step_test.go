package sequence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, err string
		want      []Step
	}{
		"tcp":         {text: "7000,8000,9000", want: []Step{{packet.TCP, 7000}, {packet.TCP, 8000}, {packet.TCP, 9000}}},
		"mixed":       {text: "2222:udp, 3333:TCP ,4444:Udp", want: []Step{{packet.UDP, 2222}, {packet.TCP, 3333}, {packet.UDP, 4444}}},
		"empty":       {text: "", err: "a part of the sequence is empty: want ports with commas, like 7000,8000:udp,9000"},
		"empty part":  {text: "1,,2", err: "a part of the sequence is empty: want ports with commas, like 7000,8000:udp,9000"},
		"no port":     {text: "x:udp", err: `"x" is no port: want 1..65535`},
		"nothing:udp": {text: ":udp", err: `"" is no port: want 1..65535`},
		"port 0":      {text: "0", err: `"0" is no port: want 1..65535`},
		"sign":        {text: "+1", err: `"+1" is no port: want 1..65535`},
		"too high":    {text: "65536", err: `"65536" is no port: want 1..65535`},
		"protocol":    {text: "7000:icmp", err: `"icmp" is no protocol: want 7000:tcp or 7000:udp`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(test.text)
			if err == nil != (test.err == "") || err != nil && err.Error() != test.err {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7000,8000:udp,9000:tcp")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := Parse(text)
		if err != nil {
			if steps != nil {
				t.Fatal("a sequence and an error")
			}
			return
		}
		again, err := Parse(Format(steps))
		if err != nil || !cmp.Equal(steps, again) {
			t.Fatalf("%v, %v is not %v", again, err, steps)
		}
	})
}
