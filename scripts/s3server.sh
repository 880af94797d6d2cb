#!/usr/bin/env bash
# Builds the S3 server that tests and benchmarks use (github.com/versity/versitygw,
# of the version in scripts/s3server/go.mod, which go.sum there vouches for) and
# prints the path of the program. It takes a minute, once. The server is no part
# of snapview: it has a module of its own, so that its dependencies are not ours.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=$(scripts/go.sh)
out=$PWD/build/tools/versitygw
mark=$out.mod
if [ ! -x "$out" ] || ! cmp -s scripts/s3server/go.mod "$mark"; then
	mkdir -p "$(dirname "$out")"
	(cd scripts/s3server && GOWORK=off CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o "$out.new" github.com/versity/versitygw/cmd/versitygw) >&2
	mv "$out.new" "$out"
	cp scripts/s3server/go.mod "$mark"
fi
echo "$out"
