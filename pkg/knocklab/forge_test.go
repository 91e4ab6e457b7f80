package knocklab

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// heard is the published knock with an IV of 8 bytes, and what the forger makes of it.
var heard = Forgery{
	Agreement: Agreement{Passphrase: "knock"},
	Sequence:  "827 842 855 845 856 854 818 831 799 797 802 802 802 801 797 801 846 813 993 931 798 972 951 928",
	Guess:     Wish{"142.103.205.1", "22", "5"},
	Want:      Wish{"203.0.113.9", "80", "0"},
}

func TestForge(t *testing.T) {
	t.Parallel()
	got, err := Forge(heard)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes := []flip{
		{"IP 1", 142, 203, 69, 54, 115, false}, {"IP 2", 103, 0, 103, 52, 83, false},
		{"IP 3", 205, 113, 188, 57, 133, false}, {"IP 4", 1, 9, 8, 57, 49, false},
		{"PORT", 22, 80, 70, 57, 127, false}, {"TIME", 5, 0, 5, 56, 61, false},
		{"CHECKSUM", 223, 150, 73, 52, 125, false}, {"PADDING", 1, 1, 0, 56, 56, false},
	}
	if diff := cmp.Diff(wantBytes, got.Bytes); diff != "" {
		t.Errorf("bytes (-want +got)\n%s", diff)
	}
	got.Bytes, got.Steps = nil, nil
	if !got.Naive.Good || got.Naive.Sequence != got.Sequence {
		t.Errorf("a host that remembers nothing reads %+v", got.Naive)
	}
	got.Naive = Opened{Says: got.Naive.Says}
	want := Forged{
		Changed: 7, Guess: "open 142.103.205.1 port 22 for 5 min", Want: "open 203.0.113.9 port 80 without time limit",
		Ports: []uint16{
			827, 842, 855, 845, 856, 854, 818, 831, 860, 828, 878, 794, 872, 806, 870, 801, 846, 813, 993, 931, 798, 972, 951, 928,
		},
		Sequence: "827 842 855 845 856 854 818 831 860 828 878 794 872 806 870 801 846 813 993 931 798 972 951 928",
		First:    745, Last: 1000, Naive: Opened{Says: "open 203.0.113.9 port 80 without time limit"}, Refused: true,
		Why: "Its ciphertext block 6544f8ba35e3ceb7 was used before, by the recorded knock. A block opens once.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The forger gets the same ports whatever the passphrase is: he has no use for it.
func TestForgeWithoutThePassphrase(t *testing.T) {
	t.Parallel()
	right, err := Forge(heard)
	if err != nil {
		t.Fatal(err)
	}
	other := heard
	other.Passphrase = "something else"
	got, err := Forge(other)
	if err != nil || got.Sequence != right.Sequence {
		t.Errorf("forged %q, %v; want %q", got.Sequence, err, right.Sequence)
	}
	if got.Naive.Good || !got.Refused || got.Why != "The recorded knock does not decode at this host, so it remembers nothing of it." {
		t.Errorf("the host reads %q, refused %v: %s", got.Naive.Says, got.Refused, got.Why)
	}
}

func TestForgeFails(t *testing.T) {
	t.Parallel()
	wrong := heard
	wrong.Guess.Time = "60"
	got, err := Forge(wrong)
	if err != nil || got.Naive.Good || !got.Refused || got.Naive.At != "checksum" || got.Why != "The forged knock does not decode." {
		t.Errorf("with a wrong guess: %+v, %v", got, err)
	}

	// An IV of 4 bytes reaches the address alone: the checksum stays as it was.
	short := heard
	short.Sequence = "827 842 855 845 856 854 818 831 802 794 796 800 767 851 762 822 761 930 820 947"
	got, err = Forge(short)
	if err != nil || got.Changed != 4 || got.Naive.Good || !got.Refused {
		t.Errorf("with a short IV: %+v, %v", got, err)
	}
	want := flip{Name: "PORT", Guess: 22, Want: 80, Change: 70, Old: -1, New: -1, Lost: true}
	if diff := cmp.Diff(want, got.Bytes[4]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	short.Want = Wish{"141.104.205.1", "22", "5"} // of the same sum
	got, err = Forge(short)
	if err != nil || got.Changed != 2 || !got.Naive.Good || !got.Refused {
		t.Errorf("with a short IV and the same sum: %+v, %v", got, err)
	}
}

func TestForgeFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Forgery)
		want   Faults
	}{
		"payloads": {
			func(f *Forgery) { f.Guess.IP, f.Want.Port = "here", "256" },
			Faults{
				"guess.ip":  `"here" is not an IPv4 address: want four numbers, 0 to 255, with dots between`,
				"want.port": "256 is out of range: want a TCP port; a knock has one byte for it, 0 to 255",
			},
		},
		"no IV":   {func(f *Forgery) { f.Sequence = publishedPorts }, Faults{"sequence": "a knock that carries its IV has 17 to 24 ports, and these are 8"}},
		"header":  {func(f *Forgery) { f.Sequence = "828" + f.Sequence[3:] }, Faults{"sequence": `these ports do not begin with the header "RandomIV"`}},
		"port":    {func(f *Forgery) { f.Sequence = "1001" + f.Sequence[3:] }, Faults{"sequence": "knock 1 goes to port 1001, which is outside 745 to 1000"}},
		"nothing": {func(f *Forgery) { f.Sequence = "" }, Faults{"sequence": "paste the ports of a knock, with spaces or commas between"}},
		"cipher": {
			func(f *Forgery) { f.Cipher = "Rijndael" },
			Faults{"header": "randomiv goes with Blowfish and DES only: Rijndael has no such header"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := heard
			tt.change(&f)
			_, err := Forge(f)
			var got Faults
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// FuzzForge: whatever is forged, it has the recorded block, and a host that has seen
// that refuses it.
func FuzzForge(f *testing.F) {
	f.Add("knock", heard.Sequence, "142.103.205.1", "22", "5", "203.0.113.9", "80", "0")
	f.Add("x", "827 842 855 845 856 854 818 831 802 794 796 800 767 851 762 822 761 930 820 947", "1.2.3.4", "1", "2", "4.3.2.1", "0", "255")
	f.Fuzz(func(t *testing.T, passphrase, sequence, ip, port, time, wantIP, wantPort, wantTime string) {
		got, err := Forge(Forgery{Agreement{Passphrase: passphrase}, sequence, Wish{ip, port, time}, Wish{wantIP, wantPort, wantTime}})
		if err != nil {
			if faults := (Faults{}); !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("error %v", err)
			}
			return
		}
		recorded, err := Open(Agreement{Passphrase: passphrase, Header: "randomiv"}, sequence)
		if err != nil || !cmp.Equal(recorded.Block.Sealed, got.Naive.Block.Sealed) {
			t.Fatalf("forged %q of %q, %v", got.Sequence, sequence, err)
		}
		if recorded.Good && !got.Refused {
			t.Fatalf("%q is not refused after %q", got.Sequence, sequence)
		}
		if recorded.Good && recorded.Says == got.Guess && len(recorded.IV) == 8 && got.Naive.Says != got.Want {
			t.Fatalf("forged %q, want %q", got.Naive.Says, got.Want)
		}
	})
}
