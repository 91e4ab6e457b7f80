package journal

import (
	"os"
	"regexp"
	"testing"
	"time"
)

// The kernel tells the same otherwise: uptime is CLOCK_BOOTTIME in hundredths of a second.
func TestNow(t *testing.T) {
	t.Parallel()
	uptime := func() time.Duration {
		b, err := os.ReadFile("/proc/uptime")
		must(t, err)
		d, err := time.ParseDuration(regexp.MustCompile(`^[0-9.]+`).FindString(string(b)) + "s")
		must(t, err)
		return d
	}
	wall, boot := time.Now().Round(0), uptime()
	now := Now()
	if end := uptime() + 10*time.Millisecond; now.Boot < boot || now.Boot > end {
		t.Errorf("%v since the boot, want %v to %v", now.Boot, boot, end)
	}
	if now.Wall.Before(wall) || now.Wall.After(time.Now().Round(0)) {
		t.Errorf("the wall clock shows %v, want just after %v", now.Wall, wall)
	}
}

func TestWallAt(t *testing.T) {
	t.Parallel()
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	i := Instant{Wall: noon, Boot: time.Hour}
	for at, want := range map[time.Duration]time.Time{
		time.Hour:               noon,
		time.Hour + time.Second: noon.Add(time.Second),
		0:                       noon.Add(-time.Hour),
	} {
		if got := i.WallAt(at); !got.Equal(want) {
			t.Errorf("at %v: got %v, want %v", at, got, want)
		}
	}
}

func TestBootID(t *testing.T) {
	t.Parallel()
	id := BootID()
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("%q names no boot", id)
	}
	if again := BootID(); again != id {
		t.Errorf("then it is %q", again)
	}
}
