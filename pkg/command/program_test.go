package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"tool": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct{ text, want, err string }{
		"by its path":          {"DIR/tool %IP%", "DIR/tool", ""},
		"by its path from /":   {"." + "DIR/tool", "DIR/tool", ""},
		"by its name":          {"sh %IP%", "/usr/bin/sh", ""},
		"of a shell":           {"nowhere %IP% | nothing", "/bin/sh", ""},
		"of who knocks":        {"DIR/%IP%", "", ""},
		"not there":            {"DIR/none", "", `failed to look at a program: stat DIR/none: no such file or directory`},
		"not there by name":    {"no-such-tool-here", "", `failed to find "no-such-tool-here" in /usr/local/sbin:`},
		"not executable":       {"DIR/text", "", `"DIR/text" is not executable`},
		"a directory":          {"DIR", "", `"DIR" is no file`},
		"below a file":         {"DIR/text/x", "", `failed to look at a program: stat DIR/text/x: not a directory`},
		"a name not in PATH":   {"tool", "", `failed to find "tool" in `},
		"a builtin of a shell": {"exit 1", "/bin/sh", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(strings.ReplaceAll(tt.text, "DIR", dir))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Program()
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if got != want || (err == nil) != (tt.err == "") || err != nil && !strings.HasPrefix(err.Error(), strings.ReplaceAll(tt.err, "DIR", dir)) {
				t.Errorf("%q, %v; want %q, %s", got, err, want, tt.err)
			}
		})
	}
}
