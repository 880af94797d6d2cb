#!/usr/bin/env bash
# Runs every test. make test installs what they need first.
#
# A test that fails is run once more, and the report at the end says so: much
# of this is timing of kernels, engines and browsers on whatever machine this is.
#
#   SNAPVIEW_NO_SKIP=1   a test that lacks something fails instead of skipping
set -euo pipefail
cd "$(dirname "$0")/.."

gotestsum=gotest.tools/gotestsum@v1.13.0
GO=$(scripts/go.sh)
export GO
start=$SECONDS
stage() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - start)); }

logs=$(mktemp -d)
dockerd_started=
finish() {
	local rc=$?
	[ -z "$dockerd_started" ] || scripts/dockerd.sh stop || rc=1
	rm -rf "$logs"
	exit $rc
}
trap finish EXIT

if [ "$(id -u)" != 0 ]; then
	echo 'test.sh: without root the tests that mount, and Docker, are skipped' >&2
fi

stage 'build and lint'
make --no-print-directory build
scripts/lint.sh

# What takes long and needs little of the processors runs beside.
stage 'PostgreSQL images for Docker'
if [ "$(id -u)" = 0 ]; then
	if ! docker version >/dev/null 2>&1; then
		DOCKER_HOST=$(scripts/dockerd.sh start | sed -n 's/^DOCKER_HOST=//p')
		export DOCKER_HOST
		dockerd_started=1
	fi
	scripts/pg-image.sh 17
fi

stage 'go test'
"$GO" run "$gotestsum" --format pkgname --rerun-fails=1 --rerun-fails-max-failures=6 \
	--packages=./... -- -race -p 2 -timeout 15m -count 1

stage 'the page'
scripts/e2e.sh

stage 'left behind?'
left=$(grep -i snapview /proc/mounts || true; losetup -l -n -O NAME,BACK-FILE 2>/dev/null | grep -i snapview || true)
if [ -n "$left" ]; then
	printf 'the tests left behind:\n%s\n' "$left" >&2
	exit 1
fi
stage 'all tests passed'
