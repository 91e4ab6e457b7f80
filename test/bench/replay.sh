#!/bin/bash
# Shows how fast knockdaemon -replay reads a log, beside two programs that do the same or less: a plain Perl loop as the
# prototype's was (loop.pl), and grep, which only counts lines. The log (make-log.pl) is denied SYNs to the knock ports
# from 1,000 addresses, about 240 bytes a line. The three take turns, 5 times. grep and the replay read all of it, Perl
# its first 50,000 lines, for that takes seconds; its rate over all of it is lower still, since fewer queues are short.
#
# usage: ./test/bench/replay.sh [-check] [LINES]    (1,000,000 lines if not said otherwise; 240 MB in $TMPDIR or /tmp)
# With -check it fails if the replay's rate is under 150 times Perl's, or its time over 3 times grep's.
set -euo pipefail

runs=5
perl_lines=50000
min_of_perl=150 # times its rate
max_of_grep=3   # times its time
key=knock       # as in loop.pl

die() {
	echo "replay.sh: error: $1" >&2
	exit "${2:-1}"
}

# clock runs a command, with its output in $tmp/out, and appends how many microseconds that took to $tmp/NAME. Output
# goes to a file because grep stops at its first match if it goes to /dev/null.
clock() {
	local name=$1 begin end
	shift
	begin=${EPOCHREALTIME/[.,]/}
	"$@" >"$tmp/out" || die "failed: $*"
	end=${EPOCHREALTIME/[.,]/}
	echo $((end - begin)) >>"$tmp/$name"
}

# expect insists on what the last command printed: it did all the work.
expect() {
	grep -qx -- "$1" "$tmp/out" || die "want $1, got $(cat "$tmp/out")"
}

# median NAME gives the middle one of the times in $tmp/NAME.
median() {
	sort -n "$tmp/$1" | sed -n "$((($(wc -l <"$tmp/$1") + 1) / 2))p"
}

# rate MICROSECONDS LINES gives the lines a second.
rate() {
	echo $(($2 * 1000000 / $1))
}

# row NAME MICROSECONDS LINES prints what a program did.
row() {
	LC_ALL=C awk -v name="$1" -v us="$2" -v rate="$(rate "$2" "$3")" 'BEGIN { printf "%-22s %7.3f s  %10d lines/s\n", name, us / 1e6, rate }'
}

check='' lines=1000000
while [ $# -gt 0 ]; do
	case $1 in
	-check) check=yes ;;
	-h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
	*[!0-9]* | '' | 0*) die "$1 is no number of lines: replay.sh [-check] [LINES]" 2 ;;
	*) lines=$1 ;;
	esac
	shift
done
[ "$perl_lines" -le "$lines" ] || perl_lines=$lines

cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/go/bin # sudo's path lacks it
command -v go >/dev/null || die 'no go in PATH or /usr/local/go/bin: https://go.dev/dl/'
perl -MCrypt::CBC -MCrypt::Blowfish -e 1 2>/dev/null || die 'please install: libcrypt-cbc-perl libcrypt-blowfish-perl'

tmp=$(mktemp -d -t knock-bench.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# -buildvcs=false: git trusts no directory of another user's, and with sudo it is one.
CGO_ENABLED=0 go build -buildvcs=false -o "$tmp" ./knockdaemon
perl test/bench/make-log.pl "$lines" >"$tmp/log"
head -n "$perl_lines" "$tmp/log" >"$tmp/head"
: >"$tmp/knockdaemon.conf" # not the one in /etc
export KNOCK_KEY=$key

cat "$tmp/log" >/dev/null # now it is in the kernel's cache
for _ in $(seq "$runs"); do
	clock grep grep -c DPT= "$tmp/log"
	expect "$lines"
	clock replay "$tmp/knockdaemon" -conf "$tmp/knockdaemon.conf" -replay "$tmp/log"
	expect "$lines lines, $lines packets, .*"
	clock perl perl test/bench/loop.pl "$tmp/head"
	expect "$perl_lines"
done

grep=$(median grep) replay=$(median replay) perl=$(median perl)
of_perl=$(($(rate "$replay" "$lines") / $(rate "$perl" "$perl_lines")))
of_grep=$(LC_ALL=C awk -v a="$replay" -v b="$grep" 'BEGIN { printf "%.2f", a / b }')
echo "$lines lines, $(($(wc -c <"$tmp/log") / 1000000)) MB; the medians of $runs runs:"
row 'grep -c DPT=' "$grep" "$lines"
row 'knockdaemon -replay' "$replay" "$lines"
row 'Perl loop' "$perl" "$perl_lines"
echo "(Perl read the first $perl_lines lines)"
echo "replay's rate / Perl's: $of_perl  (wanted: at least $min_of_perl)"
echo "replay's time / grep's: $of_grep  (wanted: at most $max_of_grep)"
[ -z "$check" ] || { [ "$of_perl" -ge "$min_of_perl" ] && [ "$((replay))" -le "$((max_of_grep * grep))" ]; } ||
	die 'the replay is too slow'
