package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/portknock/knock/"

// imports is who may import whom, the standard library apart: the packages of the module, and what each library's one
// room is. Tests may import what they like.
var imports = map[string][]string{
	"knockclient": {"golang.org/x/term", "pkg/client", "pkg/config", "pkg/knocklab", "pkg/ui"},
	"knockdaemon": {"pkg/check", "pkg/config", "pkg/daemon", "pkg/keygen", "pkg/ui"},
	"pkg/check": {
		"golang.org/x/sys/unix", "pkg/command", "pkg/config", "pkg/firewall", "pkg/knock", "pkg/onetime", "pkg/packet", "pkg/pad", "pkg/sequence",
		"pkg/sniff", "pkg/source", "pkg/ui",
	},
	"pkg/client":  {"golang.org/x/sys/unix", "pkg/config", "pkg/knock", "pkg/outside", "pkg/packet", "pkg/pad", "pkg/sequence", "pkg/ui"},
	"pkg/command": {"golang.org/x/sys/unix", "pkg/journal"},
	"pkg/config": {
		"pkg/command", "pkg/control", "pkg/firewall", "pkg/knock", "pkg/outside", "pkg/packet", "pkg/pad", "pkg/sequence", "pkg/ui",
	},
	"pkg/control":  {"golang.org/x/net/netutil", "golang.org/x/sys/unix", "pkg/ui"},
	"pkg/cryptcbc": {"golang.org/x/crypto/blowfish"},
	"pkg/daemon": {
		"github.com/sirupsen/logrus", "golang.org/x/sys/unix",
		"pkg/command", "pkg/config", "pkg/control", "pkg/firewall", "pkg/guess", "pkg/knock", "pkg/lease", "pkg/nflog", "pkg/notify",
		"pkg/onetime", "pkg/packet", "pkg/pad", "pkg/sequence", "pkg/sniff", "pkg/source", "pkg/spent", "pkg/tracker",
		"pkg/trail", "pkg/ui",
	},
	"pkg/firewall": nil,
	"pkg/guess":    nil,
	"pkg/journal":  {"github.com/google/renameio/v2", "golang.org/x/sys/unix"},
	"pkg/keygen":   {"pkg/ui", "rsc.io/qr"},
	"pkg/knock":    {"pkg/cryptcbc"},
	"pkg/knocklab": {"golang.org/x/net/netutil", "pkg/cryptcbc", "pkg/knock"},
	"pkg/lease":    {"pkg/firewall", "pkg/journal"},
	"pkg/nflog":    {"github.com/mdlayher/netlink", "golang.org/x/sys/unix", "pkg/packet"},
	"pkg/notify":   {"github.com/coreos/go-systemd/v22/daemon", "golang.org/x/sys/unix"},
	"pkg/onetime":  {"pkg/sequence"},
	"pkg/outside":  nil,
	"pkg/packet":   nil,
	"pkg/pad":      {"golang.org/x/sys/unix"},
	"pkg/sequence": {"pkg/packet"},
	"pkg/sniff":    {"github.com/mdlayher/packet", "golang.org/x/net/bpf", "golang.org/x/sys/unix", "pkg/packet"},
	"pkg/source":   {"github.com/nxadm/tail/watch"},
	"pkg/spent":    {"golang.org/x/sys/unix"},
	"pkg/tracker":  {"pkg/packet"},
	"pkg/trail":    nil,
	"pkg/ui":       {"github.com/urfave/cli/v2", "github.com/xrash/smetrics"},
	"test":         nil,

	"test/bench/latency": {"golang.org/x/sys/unix", "test/logswitch"},
	"test/logswitch":     {"golang.org/x/sys/unix"},
	"test/peers":         {"golang.org/x/sys/unix", "test/logswitch"},
}

// rooms are the packages of the standard library that have no place here, or one.
var rooms = map[string][]string{
	"C":         nil, // the commands are static
	"log":       nil, // logrus, in the daemon
	"net/http":  {"pkg/control", "pkg/knocklab", "pkg/outside"},
	"os/exec":   {"pkg/command", "pkg/firewall", "test/bench/latency", "test/peers"}, // iptables by argv, and an operator's commands
	"plugin":    nil,
	"unsafe":    nil,
	"math/rand": nil, // an IV that can be foretold

	"math/rand/v2": nil,
}

// importsOf gives what each package of the module imports, without its tests.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("failed to list the packages: %v", err)
	}
	all := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("failed to read what go list says: %v", err)
		}
		for i, path := range p.Imports {
			p.Imports[i] = strings.TrimPrefix(path, module)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
	}
}

// Every arrow between packages, and every library, stands in the table, and nothing else does.
func TestImports(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	for pkg, paths := range importsOf(t) {
		got[pkg] = nil
		for _, path := range paths {
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") || first == "pkg" || first == "test" {
				got[pkg] = append(got[pkg], path)
			}
		}
		slices.Sort(got[pkg])
	}
	if diff := cmp.Diff(imports, got); diff != "" {
		t.Errorf("the import graph has changed (-want +got)\n%s", diff)
	}
}

func TestImportsOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for pkg, paths := range importsOf(t) {
		for _, path := range paths {
			if room, ok := rooms[path]; ok && !slices.Contains(room, pkg) {
				t.Errorf("%s imports %s, and only %q may", pkg, path, room)
			}
		}
	}
}
