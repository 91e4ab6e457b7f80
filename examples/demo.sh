#!/bin/bash
# Shows a knock, from a closed port to an open one and back, on two throw-away
# hosts: network namespaces of this machine, whose own network stays as it is.
# Everything is real: the firewall (firewall.sh), the kernel's log, rsyslog (with
# rsyslog.conf), both programs, the TCP connections. Fails at the first step that
# does not hold. Run it as root: sudo ./examples/demo.sh
set -euo pipefail
unset KNOCK_KEY # it would win over the keys used here

examples=$(cd "$(dirname "$0")" && pwd)
gate=192.0.2.1 laptop=192.0.2.2 stranger=192.0.2.3
prefix="DENY-$$ " # two demos at once must not read each other's knocks

die() {
	echo "demo.sh: error: $1" >&2
	exit "${2:-1}"
}

say() {
	printf '\n%s\n' "$1"
}

# on HOST COMMAND... runs a command on a throw-away host.
on() {
	local host=$1
	shift
	ip netns exec "$host-$$" "$@"
}

# show HOST COMMAND... does the same, and prints the command as it would be typed.
show() {
	printf '  %-9s %s\n' "$1\$" "${*:2}"
	on "$@" 2>&1 | sed 's/^/            /'
}

# wait_for WHAT COMMAND... tries a command until it succeeds, for 15 s at most.
wait_for() {
	local what=$1 end=$((SECONDS + 15))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || die "waited 15 s in vain for $what"
		sleep 0.1
	done
}

install_missing() {
	local pair missing=()
	for pair in iptables:iptables ip:iproute2 rsyslogd:rsyslog nc.openbsd:netcat-openbsd; do
		command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "please install: ${missing[*]}"
	echo "Installing ${missing[*]} ..."
	apt-get update -qq || die 'failed to run apt-get update'
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		die "failed to install ${missing[*]}"
}

# build puts both commands into $tmp. -buildvcs=false: git trusts no directory of
# another user's, and with sudo it is one.
build() {
	local need have command
	PATH=$PATH:/usr/local/go/bin # sudo's path lacks it
	need=$(sed -n 's/^go //p' "$examples/../go.mod")
	command -v go >/dev/null || die "Go $need or newer is needed: https://go.dev/dl/"
	have=$(GOTOOLCHAIN=local go env GOVERSION) && have=${have#go}
	[ "$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
		die "Go $need or newer is needed, this is $have: https://go.dev/dl/"
	echo 'Building knockclient and knockdaemon ...'
	for command in knockclient knockdaemon; do
		(cd "$examples/.." && CGO_ENABLED=0 go build -buildvcs=false -o "$tmp" "./$command")
	done
	PATH=$tmp:$PATH
}

# log_namespaces lets the kernel log what namespaces drop. The switch is for the
# whole machine: the last demo that runs puts it back, found by the lock.
log_namespaces() {
	exec 8>>/run/knock-demo.mutex 9>>/run/knock-demo.users
	flock 8
	if [ "$(cat $switch)" = 0 ]; then
		echo 1 >$switch
		echo 0 >/run/knock-demo.users
	fi
	flock --shared 9
	flock --unlock 8
}

unlog_namespaces() {
	flock 8
	flock --unlock 9
	if flock --exclusive --nonblock 9 && [ -s /run/knock-demo.users ]; then
		echo 0 >$switch
		: >/run/knock-demo.users
	fi
	exec 8>&- 9>&-
}

switch=/proc/sys/net/netfilter/nf_log_all_netns

make_hosts() {
	ip netns add "gate-$$"
	ip netns add "laptop-$$"
	ip link add eth0 netns "gate-$$" type veth peer name eth0 netns "laptop-$$"
	on gate ip address add $gate/24 dev eth0
	on laptop ip address add $laptop/24 dev eth0
	on laptop ip address add $stranger/24 dev eth0 # the second one: used only if asked for
	on gate ip link set eth0 up
	on laptop ip link set eth0 up
}

# start_server answers on port 22 with a line, each connection anew.
start_server() {
	echo 'SSH-2.0-gate (the port is open)' >"$tmp/banner"
	# shellcheck disable=SC2016 # $1 is the inner shell's
	on gate sh -c 'while :; do nc.openbsd -l -N 22 <"$1"; done' server "$tmp/banner" >/dev/null 2>&1 8>&- 9>&- &
}

# start_logger writes the kernel's log to a file, with /dev/kmsg: each reader of
# it sees every line. A copy of rsyslogd, because an AppArmor profile may bind the
# one in /usr/sbin to /etc. Its imkmsg gives up if a line goes out of the kernel's
# memory just when it looks; then it is started again.
start_logger() {
	sed "s|/var/log/knock.log|$tmp/knock.log|; s|DENY |$prefix|" "$examples/rsyslog.conf" >"$tmp/10-knock.conf"
	cat >"$tmp/rsyslog.conf" <<-EOF
		module(load="imkmsg")
		global(workDirectory="$tmp")
		include(file="$tmp/10-knock.conf")
	EOF
	cp "$(command -v rsyslogd)" "$tmp/rsyslogd"
	wait_for 'rsyslogd to read the kernel log' run_logger
}

run_logger() {
	local said=$tmp/rsyslogd.said
	"$tmp/rsyslogd" -n -f "$tmp/rsyslog.conf" -i "$tmp/rsyslogd.pid" >"$said" 2>&1 8>&- 9>&- &
	logger=$!
	wait_for 'rsyslogd to start' logger_decided "$said"
	! grep -q 'cannot open kernel log' "$said" || { kill "$logger" && wait "$logger"; false; }
}

# logger_decided FILE: rsyslogd has opened the kernel's log, or says in FILE that it cannot.
logger_decided() {
	grep -q 'cannot open kernel log' "$1" || readlink "/proc/$logger/fd"/* 2>/dev/null | grep -qx /dev/kmsg
}

# start_daemon: line-age is a day, for imkmsg works out times from the uptime, and
# this machine may have slept.
start_daemon() {
	show gate knockdaemon -keygen "$tmp/knock.key" | sed -n 1,2p
	cat >"$tmp/knockdaemon.conf" <<-EOF
		log = $tmp/knock.log
		log-prefix = "$prefix"
		line-age = 86400
		key-file = $tmp/knock.key
		allow-ports = 22
		match-source = true
		state-dir = $tmp/state
		pid-file = $tmp/knockdaemon.pid
	EOF
	mkdir "$tmp/state"
	printf '  %-9s %s\n' 'gate$' 'knockdaemon -conf knockdaemon.conf &'
	on gate knockdaemon -conf "$tmp/knockdaemon.conf" 2>"$tmp/knockdaemon.log" 8>&- 9>&- &
	daemon=$!
	wait_for 'knockdaemon to start' has_jump
}

has_jump() {
	on gate iptables -S INPUT | grep -q -- '-j KNOCK'
}

# connect ADDRESS prints the server's line if port 22 is open to ADDRESS. Only a
# time-out counts as closed: a refused connection has passed the firewall.
connect() {
	on laptop nc.openbsd -n -v -w 1 -s "$1" $gate 22 </dev/null 2>&1 | grep -v succeeded || :
}

is_open() {
	[[ $(connect "$1") == SSH-* ]]
}

is_closed() {
	[[ $(connect "$1") == *'timed out'* ]]
}

# expect open|closed WHO ADDRESS tells what a connection does, and insists on it.
expect() {
	printf '  %-9s %s\n' "$2\$" "nc $gate 22"
	wait_for "port 22 to be $1 to $2" "is_$1" "$3"
	case $1 in
	open) echo "            $(cat "$tmp/banner")" ;;
	closed) echo '            (no answer)' ;;
	esac
}

rules() {
	on gate iptables-save | sed '/^#/d; s/\[.*\]//'
}

# end_daemon gives the daemon's exit status.
end_daemon() {
	local pid=$daemon
	daemon=
	kill -TERM "$(cat "$tmp/knockdaemon.pid")"
	wait "$pid"
}

# clear_host ends whatever runs on a throw-away host, for it is ours.
clear_host() {
	local pids
	while pids=$(ip netns pids "$1") && [ -n "$pids" ]; do
		# shellcheck disable=SC2086 # they are words
		kill $pids
		sleep 0.1
	done
	ip netns del "$1"
}

cleanup() {
	local status=$? host
	trap '' HUP INT TERM
	set +e
	[ "$status" -eq 0 ] || [ ! -s "$tmp/knockdaemon.log" ] || sed 's/^/knockdaemon says: /' "$tmp/knockdaemon.log" >&2
	for host in gate laptop; do
		clear_host "$host-$$" 2>/dev/null
	done
	[ -z "$logger" ] || kill "$logger"
	wait
	[ ! -e /proc/self/fd/9 ] || unlog_namespaces
	rm -rf "$tmp"
	exit "$status"
}

case ${1-} in
'') ;;
-h | --help) echo 'usage: sudo ./examples/demo.sh' && exit ;;
*) die "no arguments, please: sudo ./examples/demo.sh" 2 ;;
esac
[ "$(id -u)" -eq 0 ] || die 'network namespaces and firewalls are for root: sudo ./examples/demo.sh'
[ -r /dev/kmsg ] || die "the kernel's log cannot be read (/dev/kmsg): a container will not do, a virtual machine will"

logger=''
tmp=$(mktemp -d -t knock-demo.XXXXXX)
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

install_missing
build
log_namespaces
make_hosts
start_server
start_logger

say "Two hosts: gate ($gate) serves SSH; on laptop ($laptop) there is also a stranger ($stranger)."
expect open laptop $laptop

say 'The firewall drops everything, and logs tries at ports 745 to 1000.'
printf '  %-9s %s\n' 'gate$' './firewall.sh'
echo yes | TMPDIR=$tmp on gate "$examples/firewall.sh" -4 -p "$prefix" >"$tmp/firewall.log" 2>&1 ||
	die "firewall.sh failed: $(cat "$tmp/firewall.log")"
before=$(rules)
expect closed laptop $laptop

say 'knockdaemon reads that log.'
start_daemon
expect closed laptop $laptop

say 'The laptop knocks: eight tries at closed ports. Port 22 opens for the laptop, for 15 minutes.'
cd "$tmp"
show laptop knockclient -port 22 -time 15 -key-file knock.key -verify $gate
expect open laptop $laptop

say 'For everybody else it is as closed as before.'
expect closed stranger $stranger

say 'The gate knows who is in, and until when.'
show gate knockdaemon -conf knockdaemon.conf -status

say 'A knock with the time 255 closes it again.'
show laptop knockclient -port 22 -time 255 -key-file knock.key $gate
expect closed laptop $laptop

say 'knockdaemon ends, and leaves the firewall as it was.'
printf '  %-9s %s\n' 'gate$' 'kill %knockdaemon'
end_daemon || die 'knockdaemon did not end well'
[ "$(rules)" = "$before" ] || die "knockdaemon left something behind: $(diff <(echo "$before") <(rules))"

say 'All as it should be.'
