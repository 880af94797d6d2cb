#!/usr/bin/env bash
# Measures snapview beside what a user would take instead, in one run, and
# writes the tables to docs/benchmarks.md. Wants a quiet machine and root.
#
#   RUNS=5       runs of each; the tables have medians
#   FIO_SECONDS=2  of each fio job
#   ONLY=open    only one part: open, nbd, compressed, kloset, pgbackrest, s3, layout, web
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

compressed() {
	"$GO" run ./scripts/bench/compressed -backup "$(BACKUP_ONLY=1 scripts/demo.sh)" -runs "$runs"
	chain
}

# chain: eight incremental backups beside what pg_combinebackup would make.
chain() {
	SNAPVIEW_BENCH=1 "$GO" test -run '^$' -bench '^BenchmarkChain$' -benchtime 1s -count "$runs" ./snapshot/sources |
		awk '/^BenchmarkChain/ { split($1, n, "/"); sub(/-[0-9]+$/, "", n[3]); print n[2], n[3], $3 / 1000 }' |
		sort -k1,1 -k2,2 -k3,3n |
		awk '{ key = $1 " " $2; count[key]++; value[key, count[key]] = $3 }
			function median(kind, what, n) { n = count[kind " " what]; return value[kind " " what, int((n + 1) / 2)] }
			END {
				print "| a chain of 8 backups, from the page cache | 8 KiB at random, us | beside combined | 256 MiB forwards, ms | beside combined |"
				print "| --- | --- | --- | --- | --- |"
				split("combined chain tars", what)
				text["combined"] = "combined by pg_combinebackup, a directory"; text["chain"] = "**the chain**, directories"; text["tars"] = "**the chain**, folders of tars"
				for (i = 1; i <= 3; i++) {
					w = what[i]; r = median("random", w); s = median("scan", w)
					printf "| %s | %.2f | %.2f | %.0f | %.2f |\n", text[w], r, r / median("random", "combined"), s / 1000, s / median("scan", "combined")
				}
				print ""
			}'
}

s3() {
	local server
	server=$(scripts/s3server.sh)
	"$GO" run ./scripts/bench/open -opens=false -fio=false >&2 # makes the backup, once
	"$GO" run ./scripts/bench/s3 -runs "$runs" -server "$server"
}

# web: the page in Chromium, driven by node.
web() {
	local node
	node=$(scripts/node.sh)
	PATH=$node:$PATH scripts/ui.sh deps
	PATH=$node:$PATH "$GO" run ./scripts/bench/web -runs "$runs"
}

cat >"$new" <<TEXT
# Benchmarks

\`make bench\` writes this file: medians of $runs runs, made on $(date -u +%F), kernel $(uname -r), $(nproc) processors,
$("$GO" env GOVERSION), $(/usr/lib/postgresql/15/bin/postgres --version 2>/dev/null || echo 'no local PostgreSQL 15').
TEXT
part open 'From a backup to the first row, and a scan' "$GO" run ./scripts/bench/open -runs "$runs" -seconds "${FIO_SECONDS:-2}"
part s3 'From a backup in an object store, 20 ms away' s3
part nbd 'The NBD server beside nbdkit and qemu-nbd' "$GO" run ./scripts/bench/nbd -runs "$runs"
part kloset 'A Plakar Kloset, read where it lies' "$GO" run ./scripts/bench/kloset -runs "$runs"
part pgbackrest 'A pgBackRest repository, read where it lies' "$GO" run ./scripts/bench/pgbackrest -runs "$runs"
part web 'The page and the server behind it' web
part compressed 'Compressed tars and chains, read where they lie' compressed
part layout 'Lay-out' layout
if [ -e "$out" ] && grep -q '^## Remarks' "$out"; then
	printf '\n' >>"$new"
	sed -n '/^## Remarks/,$p' "$out" >>"$new"
fi
cp "$new" "$out"
echo "written to $out"
