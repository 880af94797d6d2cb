#!/usr/bin/env bash
# Makes snapshot/pgbackrest/testdata/block.tar.zst: small repositories with block
# incremental backups, for which Debian 12's pgBackRest is too old, and the
# hashes of what the same program restores from each.
#
#   PGBACKREST=/path/to/pgbackrest scripts/pgbackrest-fixture.sh
#
# Wants pgBackRest 2.46 or later and PostgreSQL 15; not root.
set -euo pipefail
out=$(cd "$(dirname "$0")/.." && pwd)/snapshot/pgbackrest/testdata/block.tar.zst
out=${OUT:-$out}
pgbackrest=${PGBACKREST:-pgbackrest}
bin=/usr/lib/postgresql/15/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# blocks FILE FIRST LAST VERSION: writes blocks of 8 KiB that compress well and
# differ from each other.
blocks() {
	awk -v first="$2" -v last="$3" -v version="$4" 'BEGIN {
		for (b = first; b <= last; b++) {
			line = sprintf("block %06d version %04d ", b, version)
			s = line
			while (length(s) < 8192) s = s s
			printf "%s", substr(s, 1, 8192)
		}
	}' | dd of="$1" bs=8192 seek="$2" conv=notrunc status=none
}

# A cluster that was shut down, with an empty log, and of its files only those
# that say what it is.
"$bin/initdb" -D full -A trust -U postgres --no-locale -E UTF8 -N --wal-segsize=1 -k >/dev/null
"$bin/pg_resetwal" -f full >/dev/null
mkdir -p data/{base/5,global,pg_wal/archive_status,pg_tblspc,pg_multixact/{members,offsets},pg_xact} "$work/ts/PG_15_202209061/5"
cp full/PG_VERSION data
cp full/base/5/PG_VERSION data/base/5
cp full/global/pg_control data/global
cp full/pg_wal/0* data/pg_wal
cp full/pg_multixact/members/0000 data/pg_multixact/members
cp full/pg_multixact/offsets/0000 data/pg_multixact/offsets
cp full/pg_xact/0000 data/pg_xact
echo 'max_connections = 100' >data/postgresql.conf
ln -s "$work/ts" data/pg_tblspc/16400
: >data/base/5/16386
blocks data/base/5/16384 0 399 1 # 3 MiB: several super blocks
blocks data/base/5/16385 0 9 1
printf 'odd end' >>data/base/5/16385
blocks data/base/5/16387 0 199 1
blocks ts/PG_15_202209061/5/16401 0 59 1

repositories() {
	cat <<-REPOSITORIES
		zst compress-type=zst
		gz-cipher compress-type=gz repo1-cipher-type=aes-256-cbc repo1-cipher-pass=sesame
		lz4-cipher compress-type=lz4 repo1-cipher-type=aes-256-cbc repo1-cipher-pass=sesame
		bz2 compress-type=bz2
		none compress-type=none
	REPOSITORIES
}

run() {
	local name=$1
	shift
	"$pgbackrest" --config="$work/$name.conf" --stanza=main "$@"
}

backup() {
	repositories | while read -r name _; do
		run "$name" --no-online --type="$1" backup </dev/null
	done
}

repositories | while read -r name options; do
	{
		printf '%s\n' '[global]' 'log-level-console=warn' 'log-level-file=off' "log-path=$work" "lock-path=$work/lock" \
			"spool-path=$work" "repo1-path=$work/$name" 'repo1-retention-full=9' 'repo1-bundle=y' 'repo1-block=y' 'repo1-bundle-limit=1MiB'
		# shellcheck disable=SC2086 # one option a word
		printf '%s\n' $options
		printf '%s\n' '[main]' "pg1-path=$work/data"
	} >"$name.conf"
	run "$name" --no-online stanza-create </dev/null
done
backup full
blocks data/base/5/16384 10 12 2 # in the middle of a super block
blocks data/base/5/16384 200 300 2
blocks data/base/5/16384 400 409 2 # longer
truncate -s 600007 data/base/5/16387
blocks data/base/5/16388 0 5 2
backup diff
blocks data/base/5/16384 11 11 3
blocks data/base/5/16384 250 251 3
blocks data/base/5/16384 399 400 3
truncate -s 3000000 data/base/5/16384
blocks ts/PG_15_202209061/5/16401 30 30 3
rm data/base/5/16388
backup incr

rm -f ./*/backup/main/latest
mkdir want
repositories | while read -r name _; do
	for folder in "$name"/backup/main/*F*/; do
		label=$(basename "$folder")
		run "$name" --pg1-path="$work/to/data" --tablespace-map="16400=$work/to/ts" --set="$label" --type=none --log-level-console=error restore </dev/null
		mkdir -p to/tablespaces
		mv to/ts to/tablespaces/16400
		(cd to && find data tablespaces -type f ! -name recovery.signal -exec sha256sum {} +) | sort -k2 >"want/$name#$label"
		rm -rf to
	done
done
mkdir -p "$(dirname "$out")"
mapfile -t names < <(repositories | cut -d' ' -f1)
tar --sort=name --owner=0 --group=0 -c want "${names[@]}" | zstd -q -19 -f -o "$out"
ls -l "$out"
