package check

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/portknock/knock/pkg/sniff"
	"github.com/portknock/knock/pkg/source"
)

// source looks at where the daemon learns of packets; loggers are the rules that bring them there.
func (m *machine) source(loggers []*rule) {
	switch from := m.config.Source; {
	case from.Log != "":
		m.log(loggers)
	case from.Interface != "":
		m.report.add(sniffable(sniff.Allowed()), link(from.Interface))
	case from.NFLOG:
		m.report.add(group(from.Group, read("/proc/net/netfilter/nfnetlink_log")))
	case from.Kmsg:
		m.report.add(kmsg(source.NewKmsg(source.Options{}).Allowed(), isNamespace())...)
	}
}

// sniffable tells whether an interface may be listened to; err says why not.
func sniffable(err error) finding {
	if err != nil {
		return problemf("%v", err).fixed("run as root; the daemon under the unit needs examples/knockdaemon-interface.conf beside it")
	}
	return okf("packets may be taken from an interface here; the daemon under the unit needs examples/knockdaemon-interface.conf beside it")
}

// link tells of a network interface. One that is missing may come.
func link(name string) finding {
	i, err := net.InterfaceByName(name)
	switch {
	case err != nil:
		return notef("there is no interface %q now: the daemon waits for it", name).fixed("if it is not to come, name another one: %s", links())
	case i.Flags&net.FlagUp == 0:
		return notef("the interface %q is down", name).fixed("ip link set %s up", name)
	}
	return okf("the interface %q is up", name)
}

// links names those that there are.
func links() string {
	all, err := net.Interfaces()
	if err != nil || len(all) == 0 {
		return "there is none"
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

// group tells whether some program has an NFLOG group; list is the kernel's of those that are taken.
func group(number uint16, list string) finding {
	for line := range strings.Lines(list) {
		var taken, port int
		if n, err := fmt.Sscan(line, &taken, &port); err == nil && n == 2 && taken == int(number) {
			return notef("a program has NFLOG group %d: unless that is knockdaemon, the daemon waits for it", number)
		}
	}
	return okf("nobody has NFLOG group %d", number)
}

// kmsg tells whether the kernel's log can be read; err says why not.
func kmsg(err error, namespace bool) (findings []finding) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		findings = append(findings, problemf("%v", err).fixed("run as root; the daemon under the unit needs examples/knockdaemon-kmsg.conf beside it"))
	case errors.Is(err, os.ErrNotExist):
		findings = append(findings, problemf("%v", err).fixed("this is a container, most likely: use nflog or interface"))
	case err != nil:
		findings = append(findings, problemf("%v", err))
	default:
		findings = append(findings, okf("the kernel's log can be read; the daemon under the unit needs examples/knockdaemon-kmsg.conf beside it"))
	}
	if namespace {
		findings = append(findings, notef("this is a network namespace (a container, say): the kernel logs for it only with sysctl net.netfilter.nf_log_all_netns=1 on the host"))
	}
	return findings
}
