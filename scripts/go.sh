#!/usr/bin/env bash
# Prints the path of a Go toolchain new enough for go.mod, and gets one when
# the machine has none: Debian 12's own is too old even to fetch its successor.
#
# The toolchain comes from the Go module proxy, as the go command itself would
# fetch it, and is checked against the SHA-256 below before it is unpacked.
#
#   GO=$(scripts/go.sh)
set -euo pipefail

version=1.26.8
declare -A sha256=(
	[amd64]=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
	[arm64]=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99
)

top=$(cd "$(dirname "$0")/.." && pwd)
need=$(awk '$1 == "go" { print $2; exit }' "$top/go.mod")

# new_enough GO: whether that toolchain is at least what go.mod asks for.
new_enough() {
	local have
	have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	[ "$(printf '%s\n%s\n' "$need" "${have#go}" | sort -V | head -n 1)" = "$need" ]
}

for go in "$(type -P go || true)" /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
	if [ -x "$go" ] && new_enough "$go"; then
		echo "$go"
		exit 0
	fi
done

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*)
	echo "go.sh: no Go $need here and none to fetch for $(uname -m): install Go $need or newer from https://go.dev/dl" >&2
	exit 1
	;;
esac

home=${SNAPVIEW_TOOLS:-$top/build/tools}/go-$version
if [ ! -x "$home/bin/go" ]; then
	echo "go.sh: fetching Go $version (once, about 70 MB)" >&2
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	proxy=${GOPROXY:-https://proxy.golang.org}
	proxy=${proxy%%[,|]*}
	curl -fsSL --retry 3 -o "$tmp/go.zip" \
		"$proxy/golang.org/toolchain/@v/v0.0.1-go$version.linux-$arch.zip"
	echo "${sha256[$arch]}  $tmp/go.zip" | sha256sum --check --quiet
	unzip -q "$tmp/go.zip" -d "$tmp"
	mkdir -p "$(dirname "$home")"
	rm -rf "$home"
	mv "$tmp/golang.org/toolchain@v0.0.1-go$version.linux-$arch" "$home"
	# A module's zip carries no execute bits.
	chmod +x "$home"/bin/* "$home"/pkg/tool/*/*
fi
echo "$home/bin/go"
