package packet

import (
	"bytes"
	"time"
)

var kernelTag = []byte("kernel: ")

// cutHead checks line's head and gives its stamp and what follows it. The writer's name is looked for in its own
// place and nowhere else: "sshd[1]: Invalid user kernel: DENY IN=…" is sshd's line.
func (d *Decoder) cutHead(line []byte, now time.Time) (at time.Time, text []byte, ok bool) {
	if d.head == HeadDmesg {
		uptime, text := cutUptime(line)
		at, ok = d.since(uptime)
		return at, text, ok
	}
	at, text, ok = d.stamp(line, now)
	if !ok {
		return at, nil, false
	}
	host := bytes.IndexByte(text, ' ')
	if host <= 0 {
		return at, nil, false
	}
	text = text[host+1:]
	if d.head == HeadUlogd {
		return at, text, true
	}
	text, ok = bytes.CutPrefix(text, kernelTag)
	if !ok {
		return at, nil, false
	}
	_, text = cutUptime(text)
	return at, text, true
}

// cutUptime cuts "[ 1217.785741] ", the kernel's time since boot, and gives what is inside the brackets; nothing if
// there is none. A prefix in brackets, "[UFW BLOCK] ", is not one.
func cutUptime(text []byte) (uptime, rest []byte) {
	if len(text) == 0 || text[0] != '[' {
		return nil, text
	}
	digit, dot := false, false
	for i, c := range text[1:min(len(text), maxUptime)] {
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c == ' ' && !digit:
		case c == '.' && digit && !dot:
			dot = true
		case c == ']' && dot && len(text) > i+2 && text[i+2] == ' ':
			return text[1 : i+1], text[i+3:]
		default:
			return nil, text
		}
	}
	return nil, text
}

// maxUptime is longer than any time since boot is written.
const maxUptime = 24

// since gives the instant of a time since boot, "1217.785741".
func (d *Decoder) since(uptime []byte) (time.Time, bool) {
	whole, decimals, _ := bytes.Cut(bytes.TrimLeft(uptime, " "), []byte("."))
	seconds, ok := parseDigits(whole)
	fraction, okFraction := parseFraction(decimals)
	if !ok || !okFraction || seconds > maxSeconds {
		return time.Time{}, false
	}
	return d.boot.Add(time.Duration(seconds)*time.Second + fraction), true
}

// maxSeconds is a hundred years, to keep time.Duration from wrapping.
const maxSeconds = 100 * 366 * 24 * 3600

// stamp cuts a line's time stamp and the space behind it.
func (d *Decoder) stamp(line []byte, now time.Time) (at time.Time, rest []byte, ok bool) {
	if len(line) < 16 {
		return time.Time{}, nil, false
	}
	if line[0] >= '0' && line[0] <= '9' {
		return cutRFC3339(line)
	}
	if line[15] != ' ' {
		return time.Time{}, nil, false
	}
	at, ok = d.stamps.traditional(line[:15], now)
	return at, line[16:], ok
}

// A stampCache keeps the last traditional stamp: the lines of one second share it.
type stampCache struct {
	text [15]byte
	now  time.Time
	at   time.Time
}

func (c *stampCache) traditional(text []byte, now time.Time) (time.Time, bool) {
	if string(text) == string(c.text[:]) && now.Sub(c.now).Abs() < time.Minute {
		return c.at, true
	}
	at, ok := parseTraditional(text, now)
	if ok {
		copy(c.text[:], text)
		c.now, c.at = now, at
	}
	return at, ok
}

// parseTraditional reads "Nov 20 20:08:33" (RFC 3164, section 4.1.2), which has neither year nor zone.
func parseTraditional(b []byte, now time.Time) (time.Time, bool) {
	month := bytes.Index([]byte("JanFebMarAprMayJunJulAugSepOctNovDec"), b[:3])
	if month < 0 || month%3 != 0 || b[3] != ' ' || b[6] != ' ' || b[9] != ':' || b[12] != ':' {
		return time.Time{}, false
	}
	day, ok := parseDigits(bytes.TrimLeft(b[4:6], " "))
	hour, okHour := parseDigits(b[7:9])
	minute, okMinute := parseDigits(b[10:12])
	second, okSecond := parseDigits(b[13:15])
	if !ok || !okHour || !okMinute || !okSecond || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	return nearest(now, time.Month(month/3+1), int(day), int(hour), int(minute), int(second)), true
}

// nearest gives the instant nearest to now at which a local clock shows the given time. In the hour that summer
// time ends a clock shows twice, time.Date picks one of the two instants; the other is found by comparing what
// the clock shows with what it shows now.
func nearest(now time.Time, month time.Month, day, hour, minute, second int) time.Time {
	now = now.Local()
	shown := func(t time.Time) time.Time {
		y, mo, d := t.Date()
		h, mi, s := t.Clock()
		return time.Date(y, mo, d, h, mi, s, t.Nanosecond(), time.UTC)
	}
	var best time.Time
	consider := func(t time.Time) {
		if best.IsZero() || t.Sub(now).Abs() < best.Sub(now).Abs() {
			best = t
		}
	}
	for year := now.Year() - 1; year <= now.Year()+1; year++ {
		consider(time.Date(year, month, day, hour, minute, second, 0, now.Location()))
		onClock := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
		if other := now.Add(onClock.Sub(shown(now))); shown(other).Equal(onClock) {
			consider(other)
		}
	}
	return best
}

// cutRFC3339 cuts "2026-11-20T20:08:33.602206+00:00 " (RFC 3339; the fraction may be missing).
func cutRFC3339(line []byte) (at time.Time, rest []byte, ok bool) {
	end := bytes.IndexByte(line, ' ')
	if end < len("2026-11-20T20:08:33Z") || end > len("2026-11-20T20:08:33.123456789+00:00") {
		return time.Time{}, nil, false
	}
	b, rest := line[:end], line[end+1:]
	if b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return time.Time{}, nil, false
	}
	year, ok1 := parseDigits(b[:4])
	month, ok2 := parseDigits(b[5:7])
	day, ok3 := parseDigits(b[8:10])
	hour, ok4 := parseDigits(b[11:13])
	minute, ok5 := parseDigits(b[14:16])
	second, ok6 := parseDigits(b[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, nil, false
	}
	b = b[19:]
	var fraction time.Duration
	if b[0] == '.' {
		n := 1
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		if fraction, ok = parseFraction(b[1:n]); !ok {
			return time.Time{}, nil, false
		}
		b = b[n:]
	}
	offset, ok := parseZone(b)
	if !ok {
		return time.Time{}, nil, false
	}
	at = time.Date(int(year), time.Month(month), int(day), int(hour), int(minute), int(second), int(fraction), time.UTC)
	return at.Add(-offset), rest, true
}

func parseZone(b []byte) (time.Duration, bool) {
	if string(b) == "Z" {
		return 0, true
	}
	if len(b) != 6 || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, ok := parseDigits(b[1:3])
	minutes, okMinutes := parseDigits(b[4:6])
	if !ok || !okMinutes || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}
