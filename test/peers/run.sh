#!/bin/bash
# Shows what knockdaemon, Debian's knockd and Debian's fwknopd do when something goes wrong while a port is open or a
# knock under way: they are killed, the firewall is flushed, a packet comes twice, a disk is full. Each fault happens on
# two throw-away hosts, network namespaces of this machine, with its real kernel, iptables and rsyslogd; the table it
# prints says what was measured. It takes some eight minutes, and says on standard error what it has so far. The exit
# status is 0 if the measuring worked, whatever was measured.
#
# Run it as root: sudo ./test/peers/run.sh [-only EXPRESSION] [-parallel NUMBER] [-syns NUMBER] [-datagrams NUMBER]
#
# Each daemon opens the port for the shortest time it can (knockd and fwknopd 3 s, knockdaemon 60 s) or, where a fault
# takes longer, all for 60 s. Not tried: a clock that jumps, for it is the whole machine's.
set -euo pipefail
unset KNOCK_KEY # it would win over the keys used here
cd "$(dirname "$0")/../.."

die() {
	echo "run.sh: error: $1" >&2
	exit "${2:-1}"
}

check_programs() {
	local pair missing=()
	for pair in iptables:iptables ip:iproute2 knockd:knockd fwknopd:fwknop-server fwknop:fwknop-client rsyslogd:rsyslog; do
		command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	[ "${#missing[@]}" -eq 0 ] || die "please install: ${missing[*]}"
	command -v go >/dev/null || die 'no go in PATH or /usr/local/go/bin: https://go.dev/dl/'
}

cleanup() {
	local status=$?
	trap '' HUP INT TERM
	if [ -n "$peers" ]; then
		kill -TERM "$peers" 2>/dev/null || :
		wait "$peers" || : # it takes its hosts away
	fi
	rm -rf "$tmp"
	exit "$status"
}

case ${1-} in
-h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
esac
[ "$(id -u)" -eq 0 ] || die 'network namespaces and firewalls are for root: sudo ./test/peers/run.sh'
[ -r /dev/kmsg ] || die "the kernel's log cannot be read (/dev/kmsg): a container will not do, a virtual machine will"
export PATH="$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin" # sudo's path may lack them
check_programs

tmp=$(mktemp -d -t knock-peers.XXXXXX)
peers=''
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# -buildvcs=false: git trusts no directory of another user's, and with sudo it is one.
CGO_ENABLED=0 go build -buildvcs=false -o "$tmp" ./knockclient ./knockdaemon ./test/peers
"$tmp/peers" -bin "$tmp" -rsyslog examples/rsyslog.conf "$@" & # bash heeds no signal while it runs a program
peers=$!
wait "$peers" && status=0 || status=$?
peers=''
[ "$status" -eq 0 ] || exit "$status"
