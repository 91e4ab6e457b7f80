#!/usr/bin/perl
# Writes a firewall's log: denied SYNs to ports 745..1000 from 1,000 addresses, about 240 bytes a line.
#
# usage: make-log.pl LINES
use strict; use warnings;

my $lines = shift // die "usage: make-log.pl LINES\n";
srand 20021016;
my @source = map { join '.', 198, 18, int $_ / 250, 1 + $_ % 250 } 0 .. 999;
my @month = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
my $start = 1_795_000_000;
my @t;
my $stamp = '';
for my $n (0 .. $lines - 1) {
    if ($n % 1000 == 0) {
        @t = gmtime $start + $n / 1000;
        $stamp = sprintf '%s %2d %02d:%02d:%02d', $month[$t[4]], @t[3, 2, 1, 0];
    }
    printf "%s gate kernel: [%12.6f] DENY IN=eth0 OUT= MAC=f2:b4:b7:61:d1:a6:32:70:58:3b:12:ef:08:00 SRC=%s "
        . "DST=192.0.2.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 \n",
        $stamp, 1000 + $n / 1000, $source[rand @source], rand 65536, 32768 + rand 28000, 745 + rand 256;
}
