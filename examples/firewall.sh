#!/bin/bash
# A firewall for knockdaemon, with iptables: what comes in is dropped, and the
# knocks are written to the kernel's log on their way out. No packet is ever
# answered, so nobody can tell that this host can be knocked.
#
# Only the chain INPUT is replaced, at one stroke: FORWARD, OUTPUT and other
# people's chains (Docker's, say) stay. A jump of a running knockdaemon stays too.
# IPv6 gets the same rules, without the log (a knock is IPv4): it would be a way
# around the closed IPv4 ports otherwise. With -4 it is left as it is.
#
# It lasts until the next boot, unless it is saved (netfilter-persistent save, or nft
# list ruleset >/etc/nftables.conf) while no knockdaemon runs.
# shellcheck disable=SC2317 # functions that are called by a made-up name
set -eu

# shellcheck source=examples/trial.sh
. "$(dirname "$0")/trial.sh"

# rules 4|6 prints the input of iptables-restore --noflush, where -F empties
# INPUT within the same stroke that fills it.
rules() {
	printf '# IPv%s\n*filter\n:INPUT DROP [0:0]\n-F INPUT\n' "$1"
	if [ "$1" = 4 ]; then grep -e '^-A INPUT .*-j KNOCK$' -e '^-A INPUT .*--comment knockdaemon -j ' "$dir/before4" || :; fi
	echo '-A INPUT -i lo -j ACCEPT'
	echo '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT'
	"icmp$1"
	if [ -n "$keep" ]; then echo "-A INPUT -p tcp -m multiport --dports $keep -j ACCEPT"; fi
	if [ "$1" = 4 ]; then
		# One source fills no disk: 100 lines a second of it, after the first 200. No
		# other limit: one knock that is not logged spoils the whole sequence. The table
		# has room for 100,000 new sources a second; a full one drops what comes, which
		# the next rule would do anyway, but does not log it.
		echo "-A INPUT -p tcp --syn --dport $low:$high -m hashlimit --hashlimit-name knock --hashlimit-mode srcip" \
			'--hashlimit-upto 100/second --hashlimit-burst 200 --hashlimit-htable-size 65536' \
			"--hashlimit-htable-max 262144 --hashlimit-htable-expire 2000 -j LOG --log-prefix \"$prefix\" --log-level info"
		# Rules that come after these must not answer a knock.
		echo "-A INPUT -p tcp --dport $low:$high -j DROP"
	fi
	echo COMMIT
}

icmp4() {
	local type
	for type in echo-request destination-unreachable time-exceeded parameter-problem; do
		echo "-A INPUT -p icmp --icmp-type $type -j ACCEPT"
	done
}

# icmp6: the errors, echo, neighbours and routers (133-136), multicast listeners
# (130-132, 143), and the answers of a DHCP server: without these IPv6 itself stops.
icmp6() {
	local type
	for type in 1 2 3 4 128 130 131 132 133 134 135 136 143; do
		echo "-A INPUT -p ipv6-icmp --icmpv6-type $type -j ACCEPT"
	done
	echo '-A INPUT -s fe80::/10 -p udp --sport 547 --dport 546 -j ACCEPT'
}

# back 4|6 prints the same for INPUT as it was.
back() {
	echo '*filter'
	grep '^:INPUT ' "$dir/before$1" || echo ':INPUT ACCEPT [0:0]'
	echo '-F INPUT'
	grep '^-A INPUT ' "$dir/before$1" || :
	echo COMMIT
}

# standing BEFORE NOW BACK is an awk program: it leaves out of BACK the rules that
# lead to a chain that was there before and is gone now (knockdaemon's, if that has
# stopped meanwhile), since one of them would have all the others refused.
# shellcheck disable=SC2016 # awk's own variables
standing='FNR == 1 { file++ }
file < 3 { if (/^:/) chain[file, substr($1, 2)]; next }
{ for (i = 1; i < NF; i++) if ($i ~ /^-[jg]$/ && (1, $(i + 1)) in chain && !((2, $(i + 1)) in chain)) next; print }'

# prepare 4|6 PROGRAM adds one IP version to what will be tried and taken back.
prepare() {
	"$2-save" -t filter >"$dir/before$1" || die "failed to read the present rules with $2-save: run as root, with iptables installed"
	rules "$1" >"$dir/new$1"
	back "$1" >"$dir/back$1"
	echo "$2-restore -w 5 --noflush <'$dir/new$1' || exit" >>"$dir/apply"
	printf '%s\n' "$standing" >"$dir/standing"
	cat >>"$dir/back" <<-EOF
		$2-restore -w 5 --noflush <'$dir/back$1' || {
			$2-save -t filter >'$dir/now$1' &&
			awk -f '$dir/standing' '$dir/before$1' '$dir/now$1' '$dir/back$1' | $2-restore -w 5 --noflush
		} || exit
	EOF
}

read_options "$@"
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/firewall.XXXXXX")
trap 'rm -rf "$dir"' EXIT
prepare 4 iptables
if ! $version6; then
	echo 'IPv6 is left as it is: a port closed here may be open there (see ip6tables -S INPUT).' >&2
elif [ -e /proc/net/if_inet6 ]; then
	prepare 6 ip6tables
fi
if $print; then
	cat "$dir"/new?
	exit
fi
trial "$dir" "$seconds"
