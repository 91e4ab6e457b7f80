#!/bin/bash
# Tries a firewall and takes it back unless somebody confirms it in time, so
# that nobody locks himself out. Read by firewall.sh and firewall-nft.sh.
#
# trial DIR SECONDS runs "sh DIR/apply" and waits. DIR is kept if the answer is
# yes, or on SIGUSR1. In every other case "sh DIR/back" runs: another answer,
# no answer in time, Ctrl-C, SIGTERM, a terminal that goes away. If even this
# shell is killed, a watchdog in a session of its own does it at the end of the
# time. It does not return: status 0 if kept, 1 if not.

trial() {
	dir=$1 sleeper=''
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
# closed standard input) it waits for the signal alone.
ask() {
	local answer left
	while left=$(($1 - SECONDS)) && [ "$left" -gt 0 ]; do
		local status=0
		read -r -t "$left" answer || status=$?
		if [ "$status" -eq 0 ]; then
			[ "$answer" != yes ] || keep
			return
		elif [ "$status" -le 128 ]; then
			sleep "$left" >/dev/null 2>&1 &
			sleeper=$!
			wait "$sleeper" || :
		fi
	done
}

# decide is true for one caller only, be it the watchdog or this shell: mkdir
# makes a directory once.
decide() {
	mkdir "$dir/decided" 2>/dev/null
}

end_waiting() {
	kill -- "-$watchdog" ${sleeper:+"$sleeper"}
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
