package sequence

import "testing"

func TestWeak(t *testing.T) {
	t.Parallel()
	const up, down = "a scan of all ports upwards completes it", "a scan of all ports downwards completes it"
	const even = "its ports are evenly spaced: a scan in such steps completes it"
	for steps, want := range map[string]string{
		"7000":                     "a single packet completes it",
		"7000:udp":                 "a single packet completes it",
		"7000,7001,7002":           up,
		"7002,7001,7000":           down,
		"7000,7002":                up,
		"7000,7002,7004":           up,
		"7004,7002,7000":           down,
		"7000,7001":                up,
		"7001,7002,7000":           "", // but from 7001 on and round the end, where the drawn guards are
		"7000,7002,7001":           "",
		"65534,65535,1":            "",
		"1,65535":                  "",
		"7000,7000":                up, // each port twice
		"7000,7000,7000":           up,
		"7000,7000,7001,7001":      up,
		"7000:udp,7001:udp":        up,
		"7000,7000:udp":            up,
		"7000,7001:udp":            up,
		"7001:udp,7000":            down,
		"65535:udp,1":              up,
		"7000,7003":                "",
		"7000,7002,7005":           "", // 7001, 7003, 7004
		"7000,8000,9000":           even,
		"9000,8000,7000":           even,
		"65535,32768,1":            even,
		"7000,7003,7006,7009":      even,
		"7000,8000,9001":           "",
		"7000,8000,9000,8000":      "",
		"7000,8000,9000,10001":     "",
		"7000,8000":                "", // any two are
		"60000,63000,464":          "", // not round the end
		"7000,9000,8000":           "",
		"2222:udp,3333,4444:udp":   even,
		"2222:udp,3333:udp,4444":   even,
		"2222:udp,3333,4445:udp":   "",
		"102,100,100,103":          "",
		"103,100,100,102":          "",
		"7000,7001,8000,8001":      up, // 7002 and 7999 are 2 strays of 3
		"1,2,3,4,5,6,7,8,9,10,100": up,
		"7000,8000,7000":           "",
	} {
		if got := Weak(mustParse(steps)); got != want {
			t.Errorf("%s: got %q, want %q", steps, got, want)
		}
	}
	if got := Weak(nil); got != "" {
		t.Errorf("no steps: %q", got)
	}
}
