#!/bin/bash
# Builds what is handed out: ./examples/release.sh [VERSION] [OUTDIR]
#
# Both commands for Linux, and the client for macOS and Windows: each is one static
# file, knockclient-VERSION-OS-ARCH. Beside them are the Debian packages, and
# SHA256SUMS. The same sources and the same Go give the same bytes, on whatever
# machine, in whatever directory and with whatever settings of the caller, so
# anybody can see whether a release is what its sources say. Packages also hold a
# time, SOURCE_DATE_EPOCH, or else that of the commit.
#
# VERSION is what git describe says, or "development". OUTDIR is build/VERSION of
# these sources, and must be empty or not there. TARGETS="linux/arm64 ..." builds
# for some systems alone.
set -euo pipefail
umask 022
export LC_ALL=C

examples=$(cd "$(dirname "$0")" && pwd)
top=${examples%/*}
usage='usage: [TARGETS="OS/ARCH ..."] ./examples/release.sh [VERSION] [OUTDIR]'
known='linux/amd64 linux/arm64 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/arm64'

die() {
	echo "release.sh: error: $1" >&2
	exit "${2:-1}"
}

# describe gives the version of these sources, and not of what they lie in. Git
# trusts no directory of another user's, and with sudo it is one.
describe() {
	[ -e "$top/.git" ] && git -c safe.directory="$top" -C "$top" describe --tags --dirty 2>/dev/null || echo development
}

# find_go makes sure that go is as new as go.mod asks for, and keeps of the caller's
# settings those that say where modules come from, and go.
find_go() {
	local need have name
	PATH=$PATH:/usr/local/go/bin # sudo's path lacks it
	need=$(sed -n 's/^go //p' "$top/go.mod")
	command -v go >/dev/null || die "Go $need or newer is needed: https://go.dev/dl/"
	have=$(cd / && GOFLAGS='' GOTOOLCHAIN=local go env GOVERSION) && have=${have#go}
	[ "$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
		die "Go $need or newer is needed, this is $have: https://go.dev/dl/"
	for name in GOCACHE GOMODCACHE GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB; do
		kept+=("$name=$(cd / && GOFLAGS='' GOTOOLCHAIN=local go env $name)")
	done
	kept+=(PATH="$PATH" TMPDIR="${TMPDIR:-/tmp}")
	echo "Building knock $version with Go $have ..."
}

# clean_go ARGUMENTS... runs go with these settings alone, whatever the caller's
# environment and go env -w say.
clean_go() {
	(cd "$top" && env -i "${kept[@]}" GOENV=off GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0 \
		GOOS="$os" GOARCH="$arch" GOAMD64=v1 GOARM64=v8.0 GOARM=6 go "$@")
}

# build OS/ARCH builds what there is for a system.
build() {
	local os=${1%/*} arch=${1#*/} command suffix='' commands=(knockclient)
	case $os in
	linux) commands+=(knockdaemon) ;;
	windows) suffix=.exe ;;
	esac
	for command in "${commands[@]}"; do
		clean_go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X github.com/portknock/knock/pkg/ui.version=$version" \
			-o "$tmp/$command-$version-$os-$arch$suffix" "./$command" || die "failed to build $command for $1"
	done
}

# package OS/ARCH makes the packages of a Linux.
package() {
	[ "${1%/*}" = linux ] || return 0
	"$examples/debian/build.sh" "$version" "${1#*/}" "$tmp" "$tmp" || die "failed to make the packages for $1"
}

is_empty() {
	[ ! -e "$1" ] || { [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; }
}

[[ ${1-} != -h && ${1-} != --help ]] || { echo "$usage" && exit; }
[ $# -le 2 ] || die "$usage" 2
version=${1-$(describe)}
[[ $version =~ ^[A-Za-z0-9][A-Za-z0-9.+~-]*$ ]] || die "'$version' is no version: letters, digits and . + ~ - only" 2
outdir=${2-$top/build/$version}
[ -n "$outdir" ] || die 'the directory has no name' 2
read -r -a targets <<<"${TARGETS-$known}"
[ ${#targets[@]} -gt 0 ] || die "TARGETS names no system; known are: $known" 2
for target in "${targets[@]}"; do
	[[ " $known " == *" $target "* ]] || die "'$target' is no system that this is for; known are: $known" 2
done
is_empty "$outdir" || die "$outdir is not empty"
command -v sha256sum >/dev/null || die 'no sha256sum in PATH'

kept=()
find_go
mkdir -p "$outdir"
outdir=$(cd "$outdir" && pwd)
tmp=$(mktemp -d "$outdir.XXXXXX") # what fails half way leaves nothing that looks like a release
trap 'rm -rf "$tmp"' EXIT
for target in "${targets[@]}"; do
	build "$target"
done
for target in "${targets[@]}"; do
	package "$target"
done
(cd "$tmp" && sha256sum -- * >SHA256SUMS && mv -- * "$outdir/")
ls -l "$outdir"
