package sequence

import (
	"testing"

	"github.com/portknock/knock/pkg/packet"
)

func TestParseFlags(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, err string
		want      Flags
	}{
		"one":           {text: "syn", want: Flags{Set: packet.SYN}},
		"two":           {text: " SYN , !Ack", want: Flags{Set: packet.SYN, Clear: packet.ACK}},
		"all":           {text: "fin,syn,rst,!psh,!ack,!urg", want: Flags{packet.FIN | packet.SYN | packet.RST, packet.PSH | packet.ACK | packet.URG}},
		"twice":         {text: "syn,syn", want: Flags{Set: packet.SYN}},
		"contradiction": {text: "fin,syn,!syn", err: "the TCP flag syn is both wanted and excluded"},
		"the other way": {text: "!urg,URG", err: "the TCP flag urg is both wanted and excluded"},
		"empty":         {text: "", err: `"" is no TCP flag: want fin, syn, rst, psh, ack or urg, with commas`},
		"empty part":    {text: "syn,", err: `"" is no TCP flag: want fin, syn, rst, psh, ack or urg, with commas`},
		"unknown":       {text: "syn,ece", err: `"ece" is no TCP flag: want fin, syn, rst, psh, ack or urg, with commas`},
		"not not":       {text: "!!syn", err: `"!syn" is no TCP flag: want fin, syn, rst, psh, ack or urg, with commas`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseFlags(test.text)
			if err == nil != (test.err == "") || err != nil && err.Error() != test.err {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func FuzzParseFlags(f *testing.F) {
	f.Add("syn,!ack")
	f.Add(" FIN , !urg,psh ,rst")
	f.Fuzz(func(t *testing.T, text string) {
		flags, err := ParseFlags(text)
		if err != nil {
			if flags != (Flags{}) {
				t.Fatal("flags and an error")
			}
			return
		}
		if again, err := ParseFlags(flags.String()); err != nil || again != flags {
			t.Fatalf("%v, %v is not %v", again, err, flags)
		}
	})
}
