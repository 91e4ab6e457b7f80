package tracker

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/portknock/knock/pkg/packet"
)

// numbered gives a knock of alice's from the source ports first, first+1, …
func numbered(ports []uint16, first uint16) (knock []packet.Packet) {
	for i, port := range ports {
		knock = append(knock, syn(alice, first+uint16(i), port))
	}
	return knock
}

// shuffled gives packets in another order.
func shuffled(random *rand.Rand, packets []packet.Packet) []packet.Packet {
	other := slices.Clone(packets)
	for slices.Equal(other, packets) {
		random.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
	}
	return other
}

// verdicts gives what becomes of packets.
func verdicts(tr *Tracker, packets []packet.Packet) (got []Verdict) {
	for _, p := range packets {
		got = append(got, tr.Observe(p, start))
	}
	return got
}

// In whatever order the packets of a knock from consecutive source ports come, with noise before it and a packet twice in
// it, the last of them opens; and so it is with the next knock.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for _, length := range []int{2, 3, 8, 17, 24, 64} {
		ports, match := secret(length)
		random := rand.New(rand.NewPCG(1, uint64(length)))
		for range 300 {
			tr := New(options(length), match)
			first := uint16(100 + random.IntN(1<<16-100-2*length))
			verdicts(tr, []packet.Packet{syn(bob, first, 800), syn(alice, 9, 999), syn(alice, first-1, 999)})
			for _, base := range []uint16{first, first + uint16(length)} {
				knock := shuffled(random, numbered(ports, base))
				knock = slices.Insert(knock, length-1, knock[random.IntN(length-1)])
				got := verdicts(tr, knock)
				if got[length-1] != Duplicate || got[length] != Knock || slices.Contains(got[:length], Knock) {
					t.Fatalf("%v: verdicts %v", knock, got)
				}
			}
		}
	}
}

// If the source ports of a knock are not consecutive, it is the order of arrival that counts.
func TestNoOrder(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(knock []packet.Packet, i int){
		"a gap": func(knock []packet.Packet, i int) {
			for ; i < len(knock); i++ {
				knock[i].SrcPort++
			}
		},
		"one twice": func(knock []packet.Packet, i int) { knock[i].SrcPort = knock[i-1].SrcPort },
		"one is 0":  func(knock []packet.Packet, i int) { knock[i].SrcPort = 0 },
		"from 0 on": func(knock []packet.Packet, _ int) {
			for i := range knock {
				knock[i].SrcPort = uint16(i)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, length := range []int{2, 3, 8, 17, 24, 64} {
				ports, match := secret(length)
				random := rand.New(rand.NewPCG(2, uint64(length)))
				for range 100 {
					knock := numbered(ports, uint16(1+random.IntN(1<<16-2-length)))
					change(knock, 1+random.IntN(length-1))
					if got := verdicts(New(options(length), match), knock); got[length-1] != Knock {
						t.Fatalf("%v: verdicts %v", knock, got)
					}
					other := shuffled(random, knock)
					if got := verdicts(New(options(length), match), other); got[length-1] != Failed {
						t.Fatalf("%v: verdicts %v", other, got)
					}
				}
			}
		})
	}
}

// What the matcher is asked: once about each window as it came, and once more about one that came in another order than
// it is numbered.
func TestAsked(t *testing.T) {
	t.Parallel()
	type asked = [][]uint16
	for name, test := range map[string]struct {
		sources []uint16
		want    asked
	}{
		"ascending":             {[]uint16{10, 11, 12}, asked{{1, 2, 3}}},
		"swapped":               {[]uint16{10, 12, 11}, asked{{1, 2, 3}, {1, 3, 2}}},
		"descending":            {[]uint16{12, 11, 10}, asked{{1, 2, 3}, {3, 2, 1}}},
		"the highest":           {[]uint16{65534, 65535, 65533}, asked{{1, 2, 3}, {3, 1, 2}}},
		"the lowest":            {[]uint16{3, 1, 2}, asked{{1, 2, 3}, {2, 3, 1}}},
		"none":                  {[]uint16{0, 0, 0}, asked{{1, 2, 3}}},
		"from 0 on":             {[]uint16{2, 1, 0}, asked{{1, 2, 3}}},
		"round the end":         {[]uint16{65535, 1, 0}, asked{{1, 2, 3}}},
		"a gap":                 {[]uint16{10, 13, 11}, asked{{1, 2, 3}}},
		"the same":              {[]uint16{10, 10, 10}, asked{{1, 2, 3}}},
		"one twice":             {[]uint16{10, 12, 12}, asked{{1, 2, 3}}},
		"one twice, descending": {[]uint16{12, 10, 12}, asked{{1, 2, 3}}},
		"a stranger's steps":    {[]uint16{10, 12, 11, 13, 15, 14}, asked{{1, 2, 3}, {1, 3, 2}, {2, 3, 4}, {3, 2, 4}, {3, 4, 5}, {4, 5, 6}, {4, 6, 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got asked
			o := options(3)
			o.Low = 1
			tr := New(o, func(_ netip.Addr, ports []uint16) bool {
				got = append(got, slices.Clone(ports))
				return false
			})
			for i, source := range test.sources {
				tr.Observe(syn(alice, source, uint16(1+i)), start)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if stats := tr.Stats(); int(stats.Failed) != len(test.sources)-2 {
				t.Errorf("%d windows failed, want each counted once", stats.Failed)
			}
		})
	}
}
