#!/usr/bin/env bash
# Runs every test. make test installs what they need first.
#
# A Go test that fails is run once more, and the report at the end says so:
# much of this is timing of kernels and engines on whatever machine this is.
#
#   SNAPVIEW_NO_SKIP=1   a test that lacks something fails instead of skipping
set -euo pipefail
cd "$(dirname "$0")/.."

gotestsum=gotest.tools/gotestsum@v1.13.0
GO=$(scripts/go.sh)
PATH=$(dirname "$GO"):$PATH
export PATH
start=$SECONDS
stage() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - start)); }

# held lists the mounts and loop devices that look like ours.
held() {
	{
		grep -i snapview /proc/mounts | grep -v snapview-dockerd || true
		losetup -l -n -O NAME,BACK-FILE 2>/dev/null | grep -i -e snapview -e svt || true
	} | sort
}
held_before=$(held)

work=$(mktemp -d)
session=
dockerd=
finish() {
	local rc=$?
	if [ -n "$session" ]; then
		kill -TERM "$session" 2>/dev/null || true
		wait "$session" 2>/dev/null || true
	fi
	[ -z "$dockerd" ] || scripts/dockerd.sh stop || rc=1
	rm -rf "$work"
	exit $rc
}
trap finish EXIT

stage 'build and lint'
make --no-print-directory build
scripts/lint.sh

# A minute of compiling, once; the image is made meanwhile.
scripts/s3server.sh >"$work/s3server" 2>&1 &
s3server=$!
# If the page's tools cannot be had now, its stage tries again, and judges.
scripts/ui.sh deps >"$work/ui" 2>&1 &
ui=$!

kernel=
if [ "$(id -u)" = 0 ]; then
	# For attach/kerneltest. If this fails, the test tries again, and judges.
	export SNAPVIEW_VM=1
	scripts/vm/kernel.sh >"$work/kernel" 2>&1 &
	kernel=$!

	stage 'PostgreSQL 17 in Docker'
	# An engine of the tests' own: no image can be expected in another.
	DOCKER_HOST=$(scripts/dockerd.sh start | sed -n 's/^DOCKER_HOST=//p')
	export DOCKER_HOST
	dockerd=1
	scripts/pg-image.sh 17
else
	echo 'test.sh: without root, the tests that mount, and those with Docker and virtual machines, are skipped' >&2
fi

stage 'an S3 server'
wait "$s3server" || { cat "$work/s3server" >&2; exit 1; }
[ -z "$kernel" ] || wait "$kernel" || cat "$work/kernel" >&2
wait "$ui" || cat "$work/ui" >&2

stage 'Go'
# The race detector has every program sleep a second before it ends, for races
# that are just then reported; the tests start snapview hundreds of times.
export GORACE=atexit_sleep_ms=20
# Decoders and hashes of others share nothing but what they are handed, and would
# take most of the detector's time: they are watched where our code calls them.
unwatched=()
for package in compress/... golang.org/x/crypto/... github.com/klauspost/compress/... github.com/pierrec/lz4/... github.com/ulikunitz/xz/...; do
	unwatched+=("-gcflags=$package=-race=false -d=checkptr=0")
done
# Lint has vetted them.
"$GO" run "$gotestsum" --format pkgname --rerun-fails=1 --rerun-fails-max-failures=6 \
	--packages=./... -- -race "${unwatched[@]}" -vet=off -p 2 -count 1 -timeout 15m

stage 'the page: types, units, and that web/dist is what its source builds to'
scripts/ui.sh check

# Each step where it tells most; where no backup can be mounted, all on the
# development server.
on=
[ "$(id -u)" != 0 ] || on=devserver
stage 'the page in a browser'
SNAPVIEW_ON=$on scripts/e2e.sh --devserver

if [ "$(id -u)" = 0 ]; then
	stage 'the page in a browser, on a backup'
	backup=$(BACKUP_ONLY=1 scripts/demo.sh)
	mkdir -m 711 "$work/state"
	chmod a+x "$work"
	bin/snapview --state-dir "$work/state" --json open "$backup" --runner local --db shop >"$work/events" 2>"$work/log" &
	session=$!
	for _ in $(seq 240); do
		if grep -q '"event":"ready"' "$work/events" || ! kill -0 "$session" 2>/dev/null; then break; fi
		sleep 0.25
	done
	url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/events")
	if [ -z "$url" ]; then
		cat "$work/events" "$work/log" >&2
		exit 1
	fi
	SNAPVIEW_ON=session scripts/e2e.sh "$url"
	# The last step tears the session down.
	wait "$session"
	session=

	stage 'is anything left behind?'
	left=$(comm -13 <(echo "$held_before") <(held))
	if [ -n "$left" ]; then
		printf 'the tests left behind:\n%s\n' "$left" >&2
		exit 1
	fi
fi
stage 'every test has passed'
