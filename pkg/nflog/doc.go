// Package nflog takes knocks from the firewall, with no log text in between: a rule "-j NFLOG --nflog-group 5" of
// iptables, or "log group 5" of nftables, hands the heads of the packets that it sees to whoever has bound the group.
//
// What may be a knock, and what of it is one, is for others to judge. Which packets come at all is the rules' choice:
// a group without rules is silent.
//
// It needs CAP_NET_ADMIN. The group is of the network namespace that Run is called in, and has one listener at a time.
package nflog
