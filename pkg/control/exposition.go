package control

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// metrics gives s in the text format of Prometheus. It is written here because the small libraries for it leave out
// what stands behind HELP, and promtool wants that.
func metrics(s Status) string {
	e := exposed{seen: map[string]bool{}}
	e.family("build_info", "gauge", "The version of the daemon, in a label.")
	e.sample("version", s.Version, 1)
	e.family("start_time_seconds", "gauge", "When the daemon was started, in seconds since 1970.")
	e.sample("", "", seconds(s.Started))
	e.family("source_watching", "gauge", "Whether packets are read from a source: 1 or 0.")
	for _, source := range s.Sources {
		e.sample("source", source.Name, map[bool]float64{true: 1}[source.Watching])
	}
	e.leases(s.Leases)
	e.keys(s.Keys)
	for _, c := range s.Counters {
		kind, name := "counter", strings.TrimSuffix(metricName(c.Name), "_total")+"_total"
		if c.Gauge {
			kind, name = "gauge", metricName(c.Name)
		}
		e.family(name, kind, cmp.Or(c.Help, "A number that the daemon keeps."))
		e.sample("", "", c.Value)
	}
	return e.out.String()
}

// exposed is what has been written. No family and no sample is written twice: the second would make all of it invalid.
type exposed struct {
	out  strings.Builder
	seen map[string]bool
	name string // of the family that is being written; "": it is left out
}

// family begins the family knockdaemon_NAME.
func (e *exposed) family(name, kind, help string) {
	e.name = "knockdaemon_" + name
	if e.seen[e.name] {
		e.name = ""
		return
	}
	e.seen[e.name] = true
	help = strings.ReplaceAll(printable(help), `\`, `\\`)
	fmt.Fprintf(&e.out, "# HELP %s %s\n# TYPE %s %s\n", e.name, help, e.name, kind)
}

// sample adds a sample to the family, with a label if there is one.
func (e *exposed) sample(label, value string, v float64) {
	series := e.name
	if label != "" {
		series += "{" + label + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(value)) + `"}`
	}
	id := series + " " // no family's name
	if e.name == "" || e.seen[id] {
		return
	}
	e.seen[id] = true
	fmt.Fprintf(&e.out, "%s %s\n", series, number(v))
}

// leases adds how many there are of each action.
func (e *exposed) leases(leases []Lease) {
	count := map[string]float64{}
	for _, l := range leases {
		count[l.Action]++
	}
	e.family("leases", "gauge", "What is open, forwarded or banned at the moment.")
	for _, action := range []string{Open, Forward, Ban} {
		e.sample("action", action, count[action])
	}
}

// keys adds what is counted for each key, and for each section with a sequence. A key without a name has an empty one.
func (e *exposed) keys(keys []Key) {
	type family struct {
		name, kind, help string
		value            func(Key) (float64, bool)
	}
	for _, f := range []family{
		{"accepted_total", "counter", "Knocks that were accepted.", func(k Key) (float64, bool) { return float64(k.Accepted), true }},
		{"refused_total", "counter", "Knocks that were good, and refused.", func(k Key) (float64, bool) { return float64(k.Refused), true }},
		{"last_accepted_timestamp_seconds", "gauge", "When a knock was last accepted, in seconds since 1970.",
			func(k Key) (float64, bool) { return seconds(deref(k.Last)), k.Last != nil }},
		{"knocks_left", "gauge", "Knocks left of a one-time pad or a list of sequences.",
			func(k Key) (float64, bool) { return float64(deref(k.Left)), k.Left != nil }},
	} {
		for _, label := range []string{"key", "section"} {
			begun := false
			for _, k := range keys {
				l, name := labelled(k.Name)
				v, ok := f.value(k)
				if l != label || !ok {
					continue
				}
				if !begun {
					e.family(label+"_"+f.name, f.kind, f.help)
					begun = true
				}
				e.sample(label, name, v)
			}
		}
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// labelled gives the label of a key's name, and its value: key and alice of "key alice", section and ssh of "section
// ssh", key and "" of "key".
func labelled(name string) (label, value string) {
	if section, ok := strings.CutPrefix(name, "section "); ok {
		return "section", section
	}
	if name == "key" {
		return "key", ""
	}
	return "key", strings.TrimPrefix(name, "key ")
}

// metricName makes a part of a metric's name of any text.
func metricName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// number gives whole numbers as such.
func number(v float64) string {
	if v == float64(int64(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
