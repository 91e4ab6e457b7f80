package sequence

import (
	"fmt"
	"testing"

	"github.com/portknock/knock/pkg/packet"
)

// many gives sections of which the first is 7000,8000,9000; the others begin, go on and end elsewhere.
func many(count int) []Section {
	sections := []Section{plain("7000,8000,9000")}
	for i := 1; i < count; i++ {
		s := plain("1,2,3")
		for j := range s.Steps {
			s.Steps[j].Port = uint16(10000 + 300*i + 100*j)
		}
		sections = append(sections, s)
	}
	return sections
}

// BenchmarkObserve is the cost of a packet, the table full.
func BenchmarkObserve(b *testing.B) {
	for _, count := range []int{1, 100} {
		for name, flood := range floods {
			b.Run(fmt.Sprintf("%d sections, %s", count, name), func(b *testing.B) {
				m := mustNew(b, Options{}, many(count)...)
				var n uint32
				for range 1 << 18 {
					m.Observe(flood(n), start)
					n++
				}
				b.ReportAllocs()
				for b.Loop() {
					m.Observe(flood(n), start)
					n++
				}
			})
		}
	}
}

// BenchmarkSameEnd is the cost of a packet that 100 sections end with, of a source with as many tries as are remembered.
func BenchmarkSameEnd(b *testing.B) {
	var sections []Section
	for i := range 100 {
		s := plain("1,2,3,4,5,6,7,9000")
		s.Steps[0].Port = uint16(10000 + i)
		sections = append(sections, s)
	}
	m := mustNew(b, Options{}, sections...)
	var n uint16
	for b.Loop() {
		n++
		m.Observe(syn(names["a"], n|1, []uint16{10000, 9000, 5}[n%3]), start)
	}
}

func BenchmarkWeak(b *testing.B) {
	var steps []Step
	for i := range MaxSteps {
		steps = append(steps, Step{[]packet.Proto{packet.TCP, packet.UDP}[i%2], uint16(1000 + i*i%50*40)})
	}
	for b.Loop() {
		if Weak(steps) != "" {
			b.Fatal("weak")
		}
	}
}
