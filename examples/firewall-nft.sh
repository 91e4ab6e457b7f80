#!/bin/bash
# The firewall of firewall.sh, for a host that uses nft and not iptables: what
# comes in is dropped, and the knocks are written to the kernel's log.
#
# It adds tables and touches none: what your own tables drop stays dropped, also
# for those who have knocked. knockdaemon opens ports with iptables (today's, which
# is iptables-nft), and in nft no accept undoes a drop of another chain at the same
# hook. So the last word is iptables' own: "ip filter", chain INPUT. It holds one
# rule, that iptables can read too, or it would refuse the table: what "ip knock"
# has marked just before is accepted. The mark is one bit, cleared first.
# IPv6 gets the same rules, without the log (a knock is IPv4): it would be a way
# around the closed IPv4 ports otherwise. With -4 it is left as it is.
#
# It lasts until the next boot, unless it is saved (netfilter-persistent save, or nft
# list ruleset >/etc/nftables.conf) while no knockdaemon runs.
# shellcheck disable=SC2317 # functions that are called by a made-up name
set -eu

# shellcheck source=examples/trial.sh
. "$(dirname "$0")/trial.sh"

# rules4: one source fills no disk: 100 lines a second of it are logged, after the
# first 200. No other limit: one knock that is not logged spoils the whole sequence.
# The set has room for 100,000 new sources a second; when it is full, all is logged.
# The drop at the end keeps other rules from answering a knock.
rules4() {
	cat <<EOF
# IPv4
table ip knock {
	set talkers {
		type ipv4_addr
		size 262144
		flags dynamic, timeout
		timeout 2s
	}
	chain pass {
		meta mark set meta mark | 0x02000000
	}
	chain input {
		type filter hook input priority filter - 1; policy accept;
		meta mark set meta mark & 0xfdffffff
		iif lo goto pass
		ct state established,related goto pass
		icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } goto pass
		${keep:+tcp dport { $keep \} goto pass}
		tcp dport $low-$high update @talkers { ip saddr limit rate over 100/second burst 200 packets } drop
		tcp dport $low-$high tcp flags & (fin | syn | rst | ack) == syn log prefix "$prefix" level info
		tcp dport $low-$high drop
	}
}
EOF
}

rules_filter() {
	cat <<EOF
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
		meta mark & 0x02000000 == 0x02000000 accept
	}
}
EOF
}

# rules6 keeps what IPv6 itself needs: the errors, neighbours and routers,
# multicast listeners, the answers of a DHCP server.
rules6() {
	cat <<EOF
# IPv6
table ip6 knock {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		icmpv6 type { 1-4, 128, 130-136, 143 } accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		${keep:+tcp dport { $keep \} accept}
	}
}
EOF
}

# add TABLE RULES adds one table to what will be tried and taken back.
add() {
	if nft list table "$1" >/dev/null 2>&1; then
		die "table $1 is there already: if an earlier run made it, 'nft delete table $1' takes it away; if iptables did, use firewall.sh"
	fi
	"$2" >>"$dir/new"
	# Added first, so that taking it away twice is no error.
	echo "nft 'add table $1; delete table $1'" >>"$dir/back"
}

read_options "$@"
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/firewall.XXXXXX")
trap 'rm -rf "$dir"' EXIT
nft list ruleset >"$dir/before" || die 'failed to read the present rules with nft: run as root, with nftables installed'
add 'ip knock' rules4
add 'ip filter' rules_filter
if ! $version6; then
	echo 'IPv6 is left as it is: a port closed here may be open there (see nft list ruleset).' >&2
elif [ -e /proc/net/if_inet6 ]; then
	add 'ip6 knock' rules6
fi
if $print; then
	cat "$dir/new"
	exit
fi
echo "nft -f '$dir/new'" >"$dir/apply"
trial "$dir" "$seconds"
