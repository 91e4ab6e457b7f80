#!/bin/bash
# Makes the Debian packages knockdaemon and knockclient from binaries that are built
# already: examples/debian/build.sh VERSION ARCH BINDIR OUTDIR
#
# VERSION is as in the binaries' names (v1.2.3), ARCH is Go's (amd64, arm64, arm), BINDIR
# holds knockdaemon-VERSION-linux-ARCH and knockclient-VERSION-linux-ARCH. OUTDIR gets
# knockdaemon_1.2.3_ARCH.deb and knockclient_1.2.3_ARCH.deb. Man pages are taken from the
# two commands' directories, if they are there; completions from the commands
# themselves: those of this machine's own architecture in BINDIR, which must be there if
# the packages are to have any.
#
# The same tree, binaries and SOURCE_DATE_EPOCH (without it, the time of the commit) give
# the same bytes. It needs dpkg-deb and, for the licences of what is in the binaries, go.
set -euo pipefail
export LC_ALL=C TZ=UTC
unset KNOCK_KEY GOFLAGS
umask 022

debian=$(cd "$(dirname "$0")" && pwd)
examples=${debian%/*}
top=${examples%/*}
usage='usage: examples/debian/build.sh VERSION ARCH BINDIR OUTDIR'

die() {
	echo "build.sh: error: $1" >&2
	exit "${2:-1}"
}

# debian_version gives Debian's form of a version: what comes before a release, and what
# is none, sorts before it (~), what git counts after one, behind it (+).
debian_version() {
	case $1 in
	v[0-9]*) sed -E 's/^v//; s/-dirty$/+dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/g' <<<"$1" ;;
	*) sed 's/-/~/g; s/^/0~/' <<<"$1" ;;
	esac
}

# debian_arch gives Debian's name of an architecture. Go's arm is two of Debian's: what
# was built with GOARM=6 or 7 needs a floating-point unit, which each armhf has (Raspberry
# Pi's too, of ARMv6) and not each armel; GOARM=5 needs none.
debian_arch() {
	case $1 in
	arm)
		case $(built_with GOARM) in
		5*) echo armel ;;
		6* | 7*) echo armhf ;;
		*) die "$(binary knockdaemon) does not say its GOARM" ;;
		esac
		;;
	*) echo "$1" ;;
	esac
}

binary() {
	echo "$bindir/$1-$version-linux-${2:-$arch}"
}

# built_with gives a setting that the daemon was built with.
built_with() {
	go version -m "$(binary knockdaemon)" | sed -n "s/^\tbuild\t$1=//p"
}

# check_binaries refuses what is not what its name says.
check_binaries() {
	local command what
	for command in knockdaemon knockclient; do
		[ -f "$(binary "$command")" ] || die "no $(binary "$command")"
		what=$(go version -m "$(binary "$command")") || die "$(binary "$command") was not built by go"
		for want in GOOS=linux "GOARCH=$arch" CGO_ENABLED=0; do
			grep -q "^	build	$want\$" <<<"$what" || die "$(binary "$command") was not built with $want"
		done
	done
}

# put MODE FROM TO copies a file into the package.
put() {
	install -D -m "$1" "$2" "$root/$3"
}

# put_gz FROM TO does the same, compressed, for a file that was not written for gzip's
# header to name it.
put_gz() {
	mkdir -p "$root/${2%/*}"
	gzip -9n <"$1" >"$root/$2.gz"
}

# edited FILE SCRIPT... gives an example with changes, each of which must change it.
edited() {
	local text new file=$1
	text=$(<"$file")
	for script in "${@:2}"; do
		new=$(sed -E "$script" <<<"$text")
		[ "$new" != "$text" ] || die "$file has nothing for: $script"
		text=$new
	done
	printf '%s\n' "$text" >"$tmp/edited"
}

# daemon_files are those of knockdaemon, but for what both packages have.
daemon_files() {
	local file doc=usr/share/doc/knockdaemon
	put 755 "$(binary knockdaemon)" usr/sbin/knockdaemon
	edited "$examples/knockdaemon.service" 's|/usr/local/sbin|/usr/sbin|' '/^# Copy to /d'
	put 644 "$tmp/edited" lib/systemd/system/knockdaemon.service
	edited "$examples/knockdaemon.init" 's|^DAEMON=/usr/local/sbin|DAEMON=/usr/sbin|' '/^# Copy to /d' \
		's|^set -eu$|# Where systemd runs, this has it do what is asked, and ends.\n# shellcheck source=/dev/null\n. /lib/lsb/init-functions\n&|'
	put 755 "$tmp/edited" etc/init.d/knockdaemon
	edited "$examples/knockdaemon.logrotate" '1,2d'
	put 644 "$tmp/edited" etc/logrotate.d/knockdaemon
	edited "$examples/knockdaemon.sysusers" 's/ Copy to .*//' '/^# (and run:|Without it:)/d'
	put 644 "$tmp/edited" usr/lib/sysusers.d/knockdaemon.conf
	edited "$examples/knockdaemon.conf" \
		'1s|: copy to .* A line$|, all of them. README.Debian in\n# /usr/share/doc/knockdaemon says what else is needed, and examples/ beside it has the\n# other files that are named here.\n#\n# A line|' \
		's|^(# lines, as rsyslog.conf makes it: .*)$|\1 On a new\n# Debian nothing writes it yet: see README.Debian.|'
	put 644 "$tmp/edited" etc/knockdaemon.conf
	put 644 "$debian/README.Debian" $doc/README.Debian
	for file in firewall.sh firewall-nft.sh; do
		put 755 "$examples/$file" $doc/examples/$file
	done
	for file in trial.sh rsyslog.conf sequences.conf ulogd.conf; do
		put 644 "$examples/$file" $doc/examples/$file
	done
	for file in "$examples"/knockdaemon-*.conf; do
		put 644 "$file" "$doc/examples/${file##*/}"
	done
}

client_files() {
	put 755 "$(binary knockclient)" usr/bin/knockclient
	put 644 "$examples/knockclient.conf" usr/share/doc/knockclient/examples/knockclient.conf
}

# common_files PACKAGE are those that both packages have.
common_files() {
	local page doc=usr/share/doc/$1
	for page in "$top/$1"/*.[1-9]; do
		[ ! -e "$page" ] || put_gz "$page" "usr/share/man/man${page##*.}/${page##*/}"
	done
	completions "$1"
	put_gz "$top/README.md" "$doc/README.md"
	copyright "$1" >"$tmp/copyright"
	put 644 "$tmp/copyright" "$doc/copyright"
	changelog >"$tmp/changelog"
	put_gz "$tmp/changelog" "$doc/changelog"
	put 644 "$debian/$1/lintian-overrides" "usr/share/lintian/overrides/$1"
}

# completions are what a binary that runs here says they are.
completions() {
	local pair native
	case $(uname -m) in
	x86_64) native=amd64 ;;
	aarch64) native=arm64 ;;
	*) native=arm ;;
	esac
	native=$(binary "$1" "$native")
	for pair in bash:bash-completion/completions/"$1" zsh:zsh/vendor-completions/_"$1" fish:fish/vendor_completions.d/"$1".fish; do
		if ! HOME=/nonexistent "$native" -completion "${pair%%:*}" >"$tmp/completion" 2>"$tmp/error"; then
			echo "build.sh: note: no completions of $1: $(tail -n 1 "$tmp/error")" >&2
			return
		fi
		put 644 "$tmp/completion" "usr/share/${pair#*:}"
	done
}

# copyright is ours, and that of all that is in the binary.
copyright() {
	local module at
	echo "This is knock, https://github.com/portknock/knock, under this license:"
	echo
	cat "$top/LICENSE"
	echo
	echo "/usr/${paths[$1]}/$1 also holds the following, each under its own license."
	license Go "$(go env GOROOT)"
	while read -r module at; do
		license "$module $at" "$(go -C "$top" list -m -f '{{.Dir}}' "$module")"
	done < <(go version -m "$(binary "$1")" | sed -n 's/^\tdep\t\([^\t]*\)\t\([^\t]*\)\t.*/\1 \2/p')
}

# license WHAT DIRECTORY prints those of a module. That of Apache each Debian has.
license() {
	local file files
	[ -n "$2" ] || die "the sources of $1 are not here: go mod download"
	mapfile -t files < <(find "$2/" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort)
	[ "${#files[@]}" -gt 0 ] || die "no license of $1 in $2"
	for file in "${files[@]}"; do
		printf '\n%s\n%s\n\n' '----------------------------------------------------------------------' "$1"
		if grep -q 'Apache License' "$file" && grep -q 'Version 2.0, January 2004' "$file"; then
			grep '^ *Copyright [0-9(]' "$file" || :
			echo 'Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0'
		else
			cat "$file"
		fi
	done
}

changelog() {
	cat <<-END
		knock ($deb_version) unstable; urgency=medium

		  * This is $version. README.md says what it can do.

		 -- $(sed -n 's/^Maintainer: //p' "$debian/knockdaemon/control")  $(date -R -d "@$SOURCE_DATE_EPOCH")
	END
}

# control_files PACKAGE are those for dpkg, which come last.
control_files() {
	local file size
	# As dpkg-gencontrol counts: files in whole KiB, and one for all else.
	size=$(find "$root" -mindepth 1 -printf '%y %s\n' | awk '{ n += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print n }')
	mkdir "$root/DEBIAN"
	sed "s/@VERSION@/$deb_version/; s/@ARCH@/$deb_arch/; s/@SIZE@/$size/" "$debian/$1/control" >"$root/DEBIAN/control"
	for file in preinst postinst prerm postrm; do
		[ ! -e "$debian/$1/$file" ] || put 755 "$debian/$1/$file" DEBIAN/$file
	done
	[ ! -e "$debian/$1/conffiles" ] || put 644 "$debian/$1/conffiles" DEBIAN/conffiles
	(cd "$root" && find . -type f -not -path './DEBIAN/*' -not -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}

# package NAME builds one of the two.
package() {
	root=$tmp/$1
	mkdir "$root"
	"${1#knock}_files"
	common_files "$1"
	control_files "$1"
	find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
	DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz -z6 --build "$root" "$outdir/$1_${deb_version}_$deb_arch.deb"
}

[[ ${1-} != -h && ${1-} != --help ]] || { echo "$usage" && exit; }
[ $# -eq 4 ] || die "$usage" 2
version=$1 arch=${2/armhf/arm} bindir=$3 outdir=$4
[[ $version =~ ^[A-Za-z0-9][A-Za-z0-9.+~-]*$ ]] || die "'$version' is no version" 2
[[ $arch =~ ^(amd64|arm64|arm)$ ]] || die "the architecture is amd64, arm64 or arm, not '$arch'" 2
for program in dpkg-deb go; do
	command -v $program >/dev/null || die "no $program in PATH"
done
check_binaries
deb_version=$(debian_version "$version")
deb_arch=$(debian_arch "$arch")
declare -A paths=([knockdaemon]=sbin [knockclient]=bin)
# Git trusts no directory of another user's, and with sudo it is one.
[ -n "${SOURCE_DATE_EPOCH-}" ] || SOURCE_DATE_EPOCH=$(git -c safe.directory="$top" -C "$top" log -1 --format=%ct) ||
	die 'no time of a commit: please set SOURCE_DATE_EPOCH'
export SOURCE_DATE_EPOCH
mkdir -p "$outdir"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
package knockdaemon
package knockclient
