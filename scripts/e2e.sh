#!/usr/bin/env bash
# Drives the page in a real browser (web/e2e).
#
#   scripts/e2e.sh URL          a running session by its login link
#   SNAPVIEW_URL=URL scripts/e2e.sh
#   scripts/e2e.sh --devserver  web/devserver over a PostgreSQL of its own; what
#                               is done when nothing is said
#
# Needs Chromium (CHROMIUM names another than /usr/bin/chromium); installs the
# tools of the page's package.json when they are not there.
set -euo pipefail
cd "$(dirname "$0")/.."

url=${1:-${SNAPVIEW_URL:---devserver}}
if [ ! -x "${CHROMIUM:-/usr/bin/chromium}" ]; then
	echo "e2e.sh: NEEDS: chromium (apt-get install chromium)" >&2
	[ "${SNAPVIEW_NO_SKIP:-}" = 1 ] && exit 1
	exit 0
fi

PATH=$(scripts/node.sh):$PATH
export PATH
scripts/ui.sh deps

server=
work=$(mktemp -d)
cleanup() {
	if [ -n "$server" ]; then
		kill -TERM "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap cleanup EXIT

if [ "$url" = --devserver ]; then
	"$(scripts/go.sh)" build -o "$work/devserver" ./web/devserver
	"$work/devserver" >"$work/out" 2>"$work/err" &
	server=$!
	url=
	for _ in $(seq 240); do
		url=$(grep -m 1 -o 'http://.*token=.*' "$work/out" || true)
		[ -n "$url" ] && break
		if ! kill -0 "$server" 2>/dev/null; then break; fi
		sleep 0.25
	done
	if [ -z "$url" ]; then
		echo "e2e.sh: the development server did not start:" >&2
		cat "$work/out" "$work/err" >&2
		exit 1
	fi
fi

node web/e2e/run.mjs "$url"
if [ -n "$server" ]; then node web/e2e/restart.mjs "$work/devserver"; fi
