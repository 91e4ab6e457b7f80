#!/bin/bash
# Checks everything, on Debian or a system like it: the code's form, every test with the race detector, and each fuzz
# target for some thousand inputs. The tests use the real firewall, in network namespaces of their own, the real loggers and the
# real Perl libraries; what is missing is installed with apt-get. Run it as root: sudo ./test/run.sh
set -euo pipefail
unset KNOCK_KEY # it would win over the keys used here
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
fuzz_time=15000x # a few seconds; with a time limit in its place go test now and then fails on reaching it
packages=(
	ca-certificates                           # go fetches modules
	chromium fonts-dejavu-core                # looks at the Knock Lab
	curl                                      # asks for metrics
	gcc libc6-dev                             # go test -race
	iproute2 iptables nftables util-linux     # hosts and firewalls
	libcrypt-blowfish-perl libcrypt-cbc-perl  # the reference for the ciphers
	libcrypt-des-perl libcrypt-rijndael-perl
	knockd                                    # what the latency is compared with
	nmap                                      # scans the knock ports
	ulogd2                                    # a logger of packets
	zbar-tools                                # reads the QR code of a key
	groff-base mandoc                         # format the manual pages
	logrotate netcat-openbsd openssl procps rsyslog
	openssh-client openssh-server             # a connection through a knock
	systemd systemd-container                 # the unit, and a systemd to run it
	bash-completion fish zsh                  # the shells that complete the commands' flags
	shellcheck
)

die() {
	echo "run.sh: error: $1" >&2
	exit 1
}

# step TITLE COMMAND... runs a command, whose output matters only if it fails.
step() {
	local title=$1 output
	shift
	echo "== $title"
	if ! output=$("$@" 2>&1); then
		printf '%s\n' "$output"
		die "failed: $title"
	fi
}

is_installed() {
	[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_missing() {
	local package missing=()
	command -v dpkg-query >/dev/null || die "no dpkg-query: please run this on Debian, or a system like it"
	for package in "${packages[@]}"; do
		is_installed "$package" || missing+=("$package")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	export DEBIAN_FRONTEND=noninteractive
	step 'apt-get update' apt-get update -q
	step "apt-get install ${missing[*]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
	stop_servers "${missing[@]}"
}

# stop_servers PACKAGE... stops the servers that came with packages, now and at the next boot: the tests start their own.
stop_servers() {
	local package
	[ -d /run/systemd/system ] || return 0
	for package; do
		case $package in
		openssh-server) step 'stop ssh' systemctl disable --now ssh.service ;;
		knockd | ulogd2) step "stop $package" systemctl disable --now "$package.service" ;;
		esac
	done
}

# find_promtool gets promtool alone: the package it is in would also start a server, open to the network.
find_promtool() {
	local dir
	! command -v promtool >/dev/null || return 0
	dir=$(mktemp -d)
	chmod 755 "$dir" # apt downloads as a user of its own
	step 'apt-get update' apt-get update -q
	(cd "$dir" && step 'apt-get download prometheus' apt-get download -q prometheus)
	dpkg-deb --fsys-tarfile "$dir"/prometheus_*.deb | tar --extract --directory "$dir" ./usr/bin/promtool
	install -m 755 "$dir/usr/bin/promtool" /usr/local/bin/
	rm -r "$dir"
}

# find_go makes sure that go is the one go.mod asks for. Sudo's PATH lacks the place where go.dev's archive goes.
find_go() {
	local want have
	want=$(awk '$1 == "go" { print $2 }' go.mod)
	export PATH="$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin"
	command -v go >/dev/null || die "no go in PATH or /usr/local/go/bin: please install Go $want or later (https://go.dev/dl/)"
	have=$(cd / && GOTOOLCHAIN=local go version | awk '{ print $3 }') # / has no go.mod for an old go to stumble over
	have=${have#go}
	[ "$(printf '%s\n' "$want" "$have" | sort --version-sort | head -n 1)" = "$want" ] ||
		die "$(command -v go) is Go $have: please install Go $want or later (https://go.dev/dl/)"
}

check_gofmt() {
	local wrong
	wrong=$(gofmt -l .)
	[ -z "$wrong" ] || { gofmt -d .; return 1; }
}

check_shell() {
	local file scripts=(.ci/run)
	while IFS= read -r -d '' file; do
		if head -n 1 "$file" | grep -qE '^#!.*(/| )(ba|da)?sh( |$)'; then
			scripts+=("$file")
		fi
	done < <(find examples test -type f -print0)
	shellcheck "${scripts[@]}"
}

# check_static makes sure that the kernel alone can start both commands.
check_static() {
	local command dir
	dir=$(mktemp -d)
	CGO_ENABLED=0 go build -o "$dir" ./knockclient ./knockdaemon || return
	for command in knockclient knockdaemon; do
		! ldd "$dir/$command" || return
	done
	rm -r "$dir"
}

# fuzz runs every fuzz target of every package.
fuzz() {
	local package name targets found=0
	for package in $(go list ./...); do
		targets=$(go test -list '^Fuzz' "$package") || die "$targets"
		for name in $(grep '^Fuzz' <<<"$targets" || true); do
			step "fuzz $name" go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzz_time" "$package"
			found=$((found + 1))
		done
	done
	[ "$found" -gt 0 ] || die 'no fuzz target found'
}

[ "$(id -u)" = 0 ] || die 'the tests change firewalls, in network namespaces: please run this as root (sudo ./test/run.sh)'
find_go
install_missing
find_promtool
# In a clone that belongs to somebody else, git tells root nothing, and go would stop.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

step gofmt check_gofmt
step 'go vet' go vet ./...
step staticcheck go run "$staticcheck" ./...
step shellcheck check_shell
step 'static commands' check_static
# Most tests wait, for a kernel, a logger or a minute to pass.
step 'go test -race' go test -race -count=1 -parallel 6 -timeout 30m ./...
step 'go test of allocations' go test -count=1 -run Alloc ./pkg/... # some allocate under the race detector
fuzz
echo 'all passed'
