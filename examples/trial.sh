#!/bin/bash
# What firewall.sh and firewall-nft.sh share: their options, and a trial that takes
# the new rules back unless somebody confirms them in time, so that nobody locks
# himself out.

low=745 high=1000 # the knock ports: knockdaemon's port-min, and 255 more

usage() {
	cat <<-EOF
		usage: ${0##*/} [-k PORT[,PORT...]] [-t SECONDS] [-p PREFIX] [-4] [-n]
		  -k  TCP ports that stay open to everybody, 22 to begin with, say (none)
		  -t  take the rules back unless they are confirmed within SECONDS (60)
		  -p  the log prefix, as knockdaemon's -log-prefix ('DENY ')
		  -4  leave IPv6 as it is
		  -n  print the rules, change nothing
	EOF
}

die() {
	echo "${0##*/}: error: $1" >&2
	exit "${2:-1}"
}

# read_options ARGUMENTS... sets keep, seconds, prefix, version6 and print.
# shellcheck disable=SC2034 # for those who read this file
read_options() {
	local option OPTIND=1
	keep='' seconds=60 prefix='DENY ' version6=true print=false
	while getopts :k:t:p:4nh option; do
		case $option in
		k) keep=$OPTARG && check_ports ;;
		t) seconds=$OPTARG ;;
		p) prefix=$OPTARG ;;
		4) version6=false ;;
		n) print=true ;;
		h) usage && exit ;;
		*) die "wrong use of -$OPTARG: see ${0##*/} -h" 2 ;;
		esac
	done
	[ "$OPTIND" -gt $# ] || die "unexpected argument '${!OPTIND}': see ${0##*/} -h" 2
	[[ $seconds =~ ^[1-9][0-9]{0,4}$ ]] || die "-t takes seconds, 1 to 99999, not '$seconds'" 2
	[[ $prefix =~ ^[A-Za-z0-9_:./\ -]{1,29}$ ]] || die "-p takes 1 to 29 letters, digits, spaces and any of _:./-, not '$prefix'" 2
}

# check_ports refuses what is no list of ports, and knock ports: one that is
# open would answer.
check_ports() {
	local port
	[[ $keep =~ ^[0-9]{1,5}(,[0-9]{1,5}){0,14}$ ]] || die "-k takes 1 to 15 TCP ports separated by commas, not '$keep'" 2
	for port in ${keep//,/ }; do
		((10#$port >= 1 && 10#$port <= 65535)) || die "port $port is out of range: 1 to 65535" 2
		((10#$port < low || 10#$port > high)) ||
			die "port $port is a knock port ($low to $high): change port-min in knockdaemon.conf, and low and high in trial.sh" 2
	done
}

# trial DIR SECONDS runs "sh DIR/apply" and waits. DIR is kept if the answer is
# yes, or on SIGUSR1. In every other case "sh DIR/back" runs: another answer,
# no answer in time, Ctrl-C, SIGTERM, a terminal that goes away. If even this
# shell is killed, a watchdog in a session of its own does it at the end of the
# time. It does not return: status 0 if kept, 1 if not.

trial() {
	dir=$1
	trap give_back EXIT
	trap 'exit 1' HUP INT TERM
	trap keep USR1
	# shellcheck disable=SC2016 # $1 and $2 are the watchdog's own
	setsid sh -c 'sleep "$2"; mkdir "$1/decided" || exit; until sh "$1/back"; do sleep 1; done' \
		watchdog "$dir" "$2" </dev/null >/dev/null 2>&1 &
	watchdog=$!
	sh "$dir/apply"
	echo "The new rules are in force. Now see whether you can still get in, from a second terminal."
	echo "Type yes within $2 s to keep them (from elsewhere: kill -USR1 $$); anything else takes them back."
	ask $((SECONDS + $2))
	exit 1
}

# ask END waits for an answer till END, in SECONDS. Without anybody to ask (a
# closed standard input) it waits for the signal alone, reading a pipe that nobody
# writes to. A sleep in the background would not do: killed before it is more than
# a copy of this shell, it would run this shell's traps.
ask() {
	local answer left
	while left=$(($1 - SECONDS)) && [ "$left" -gt 0 ]; do
		local status=0
		read -r -t "$left" answer || status=$?
		if [ "$status" -eq 0 ]; then
			[ "$answer" != yes ] || keep
			return
		elif [ "$status" -le 128 ]; then
			mkfifo "$dir/nobody" && exec <>"$dir/nobody" || return
		fi
	done
}

# decide is true for one caller only, be it the watchdog or this shell: mkdir
# makes a directory once.
decide() {
	mkdir "$dir/decided" 2>/dev/null
}

end_waiting() {
	kill -- "-$watchdog"
}

keep() {
	decide || exit 1
	trap - EXIT
	end_waiting || :
	echo "Kept. The way back: sh $dir/back"
	exit 0
}

# give_back changes the rules first: a message may fail, on a terminal that is
# gone. If the watchdog was quicker, it is waited for.
give_back() {
	set +e
	trap '' HUP INT TERM USR1
	if ! decide; then
		wait "$watchdog"
	elif sh "$dir/back"; then
		end_waiting
	else
		echo "failed to take the rules back: try again with: sh $dir/back" >&2
		return
	fi
	rm -rf "$dir"
	echo "Not confirmed: the old rules are back." >&2
}
