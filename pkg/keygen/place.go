package keygen

import (
	"os"
	"os/user"
	"regexp"
	"strings"
)

// serviceUser is whom the service runs as.
const serviceUser = "knockdaemon"

// A place is what of this machine goes into the words.
type place struct {
	host    string // by which a client finds it
	user    string // who runs this; empty: not known
	service bool   // root runs this, and the service has a user of its own
}

// here looks at this machine.
func here() place {
	host, _ := os.Hostname() // without one, an example is as good
	p := place{host: sane(host)}
	if u, err := user.Current(); err == nil {
		p.user = u.Username
	}
	if os.Geteuid() == 0 {
		_, err := user.Lookup(serviceUser)
		p.service = err == nil
	}
	return p
}

// exampleHost stands for a machine that does not know what others call it.
const exampleHost = "gate.example.org"

var hostName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// sane gives a machine's own name if others may know it by that.
func sane(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > 253 || !hostName.MatchString(host) || title(host) == "localhost" {
		return exampleHost
	}
	return host
}

// title is what a client calls a host.
func title(host string) string {
	first, _, _ := strings.Cut(host, ".")
	return first
}

// hidden gives the directory above path that the service does not see, or sees as an empty one, if there is one: the
// systemd unit says ProtectHome and PrivateTmp.
func hidden(path string) string {
	for _, dir := range []string{"/root", "/home", "/run/user", "/tmp", "/var/tmp"} {
		if strings.HasPrefix(path, dir+"/") {
			return dir
		}
	}
	return ""
}
