#!/usr/bin/env bash
# Measures snapview beside what a user would take instead, in one run, and
# writes the tables to docs/benchmarks.md. Wants a quiet machine and root.
#
#   RUNS=5       runs of each; the tables have medians
#   FIO_SECONDS=2  of each fio job
#   ONLY=open    only one part: open, nbd, kloset, layout
set -euo pipefail
cd "$(dirname "$0")/.."
GO=$(scripts/go.sh)
runs=${RUNS:-5}
out=docs/benchmarks.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT

if [ "$(id -u)" != 0 ]; then
	echo 'bench.sh: mounting and dropping the page cache need root' >&2
	exit 1
fi

# part NAME TITLE COMMAND...: runs one part and puts its table into the file,
# or keeps the table that is there.
part() {
	local name=$1 title=$2
	shift 2
	printf '\n## %s\n\n' "$title" >>"$new"
	if [ -n "${ONLY:-}" ] && [ "$ONLY" != "$name" ]; then
		sed -n "/^<!-- $name -->/,/^<!-- end $name -->/p" "$out" >>"$new"
		return
	fi
	{
		echo "<!-- $name -->"
		echo
		"$@"
		echo "<!-- end $name -->"
	} >>"$new"
}

layout() {
	"$GO" test -run '^$' -bench 'Layout' -benchtime 5x -count "$runs" ./ext4 | grep ^Benchmark |
		awk 'BEGIN { print "```" } { print } END { print "```" }'
}

cat >"$new" <<TEXT
# Benchmarks

\`make bench\` writes this file: medians of $runs runs, made on $(date -u +%F), kernel $(uname -r), $(nproc) processors,
$("$GO" env GOVERSION), $(/usr/lib/postgresql/15/bin/postgres --version 2>/dev/null || echo 'no local PostgreSQL 15').
TEXT
part open 'From a backup to the first row, and a scan' "$GO" run ./scripts/bench/open -runs "$runs" -seconds "${FIO_SECONDS:-2}"
part nbd 'The NBD server beside nbdkit and qemu-nbd' "$GO" run ./scripts/bench/nbd -runs "$runs"
part kloset 'A Plakar Kloset, read where it lies' "$GO" run ./scripts/bench/kloset -runs "$runs"
part layout 'Lay-out' layout
if [ -e "$out" ] && grep -q '^## Remarks' "$out"; then
	printf '\n' >>"$new"
	sed -n '/^## Remarks/,$p' "$out" >>"$new"
fi
cp "$new" "$out"
echo "written to $out"
