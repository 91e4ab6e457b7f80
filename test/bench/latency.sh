#!/bin/bash
# Shows how soon after its last SYN a knock has opened a port, beside Debian's knockd and beside the floor, a program
# that does nothing but run iptables at the sight of a SYN: the minimum, median and maximum of 20 knocks each, in turn,
# and the ratios of the medians. All runs on two hosts that are network namespaces of this machine, with its real
# kernel, iptables and rsyslogd; what is measured, and how, stands at the top of latency/main.go.
#
# Run it as root, on a machine that has little else to do: sudo ./test/bench/latency.sh [-check] [-rounds NUMBER]
# With -check it fails if knockdaemon's median is not under half of knockd's, or over 3 times the floor's.
set -euo pipefail
unset KNOCK_KEY # it would win over the keys used here
cd "$(dirname "$0")/../.."

die() {
	echo "latency.sh: error: $1" >&2
	exit "${2:-1}"
}

check_programs() {
	local pair missing=()
	for pair in iptables:iptables ip:iproute2 knockd:knockd rsyslogd:rsyslog; do
		command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	[ "${#missing[@]}" -eq 0 ] || die "please install: ${missing[*]}"
	command -v go >/dev/null || die 'no go in PATH or /usr/local/go/bin: https://go.dev/dl/'
}

cleanup() {
	local status=$?
	trap '' HUP INT TERM
	if [ -n "$bench" ]; then
		kill -TERM "$bench" 2>/dev/null || :
		wait "$bench" || : # it takes its hosts away
	fi
	rm -rf "$tmp"
	exit "$status"
}

case ${1-} in
-h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
esac
[ "$(id -u)" -eq 0 ] || die 'network namespaces and firewalls are for root: sudo ./test/bench/latency.sh'
[ -r /dev/kmsg ] || die "the kernel's log cannot be read (/dev/kmsg): a container will not do, a virtual machine will"
export PATH="$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin" # sudo's path may lack them
check_programs

tmp=$(mktemp -d -t knock-bench.XXXXXX)
bench=''
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# -buildvcs=false: git trusts no directory of another user's, and with sudo it is one.
CGO_ENABLED=0 go build -buildvcs=false -o "$tmp" ./knockclient ./knockdaemon ./test/bench/latency
"$tmp/latency" -bin "$tmp" -rsyslog examples/rsyslog.conf "$@" & # bash heeds no signal while it runs a program
bench=$!
wait "$bench" && status=0 || status=$?
bench=''
[ "$status" -eq 0 ] || exit "$status"
