#!/usr/bin/env bash
# Makes the demo backup with the local PostgreSQL, once, and opens it.
#
#   CHECK=1        open it, run a query, tear down, exit
#   BACKUP_ONLY=1  only make the backup, and print where it is
#   DEMO_DIR=DIR   where it lies (default /var/tmp/snapview-demo)
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${DEMO_DIR:-/var/tmp/snapview-demo}
backup=$dir/backup
snapview=$PWD/bin/snapview

say() { echo "demo: $*" >&2; }

# bindir: the newest installed PostgreSQL's programs.
bindir() {
	local newest
	newest=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)
	[ -n "$newest" ] || newest=$(type -P initdb)
	dirname "$newest"
}

# as_postgres COMMAND...: PostgreSQL refuses to run as root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --init-groups env -C / HOME=/ LC_ALL=C.UTF-8 "$@"
	else
		env LC_ALL=C.UTF-8 "$@"
	fi
}

# make_backup: a cluster, the demo shop, pg_basebackup -Ft, and the cluster is
# thrown away again. The backup's folder appears whole or not at all.
make_backup() {
	local bin port=54329 new=$dir/new
	bin=$(bindir)
	say "making the demo shop with PostgreSQL in $bin (once, about half a minute)"
	rm -rf "$new" "$dir/cluster" "$dir/archive" "$dir/socket"
	mkdir -p "$dir/cluster" "$dir/archive" "$dir/socket" "$new"
	if [ "$(id -u)" = 0 ]; then
		chown postgres: "$dir/cluster" "$dir/archive" "$dir/socket" "$new"
	fi
	as_postgres "$bin/initdb" -D "$dir/cluster" -U postgres --no-sync --data-checksums \
		-E UTF8 --locale=C.UTF-8 -A trust >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; return 1; }
	as_postgres "$bin/pg_ctl" -D "$dir/cluster" -l "$dir/cluster/log" -w \
		-o "-k $dir/socket -p $port -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_wal_size=4GB" start >/dev/null
	stop() { as_postgres "$bin/pg_ctl" -D "$dir/cluster" -m fast -w stop >/dev/null 2>&1 || true; }
	trap stop EXIT
	as_postgres "$bin/psql" -h "$dir/socket" -p $port -U postgres -Xqc "create tablespace archive location '$dir/archive'"
	as_postgres "$bin/createdb" -h "$dir/socket" -p $port -U postgres shop
	as_postgres "$bin/psql" -h "$dir/socket" -p $port -U postgres -Xq -d shop -f - <scripts/demo.sql >/dev/null
	as_postgres "$bin/psql" -h "$dir/socket" -p $port -U postgres -Xqc 'vacuum (freeze, analyze)' -d shop
	as_postgres "$bin/pg_basebackup" -h "$dir/socket" -p $port -U postgres -D "$new" -Ft -X stream -c fast
	stop
	trap - EXIT
	rm -rf "$dir/cluster" "$dir/archive" "$dir/socket"
	mv "$new" "$backup"
}

mkdir -p "$dir"
# PostgreSQL's user has to reach the folders inside.
chmod a+x "$dir"
[ -e "$backup/base.tar" ] || make_backup

if [ -n "${BACKUP_ONLY:-}" ]; then
	echo "$backup"
	exit 0
fi

if [ "$(id -u)" != 0 ]; then
	say "the backup is $backup; opening it mounts a file system, which needs root:"
	say "  sudo $snapview open $backup --db shop"
	exit 1
fi

if [ -z "${CHECK:-}" ]; then
	exec "$snapview" open "$backup" --db shop
fi

state=$dir/check
mkdir -p "$state"
before=$(cat "$backup"/* | sha256sum)
want=600000
say 'opening the backup, counting the orders, tearing down'
got=$("$snapview" --state-dir "$state" query "$backup" --db shop --format csv 'select count(*) as orders from shop.orders' | tail -n 1)
if [ "$got" != "$want" ]; then
	say "counted '$got' orders, expected $want"
	exit 1
fi
if [ "$before" != "$(cat "$backup"/* | sha256sum)" ]; then
	say 'the backup has changed'
	exit 1
fi
left=$(grep -F " $state/" /proc/mounts || true; find "$state/sessions" "$state/stores" -mindepth 1 2>/dev/null || true)
if [ -n "$left" ]; then
	say "left behind: $left"
	exit 1
fi
say "$got orders counted in a backup that was not restored; nothing is left behind"
