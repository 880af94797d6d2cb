#!/bin/bash
# Makes server.tar.zst, the folder of a Barman server, with the barman and the
# PostgreSQL installed: a backup by pg_basebackup with gzipped WAL, one by rsync
# with WAL by bzip2, each with a tablespace. As user postgres; DIR must be empty.
#
#   runuser -u postgres -- ./make.sh DIR
set -eu
cd "$1"
D=$PWD
bin=$(printf "%s\n" /usr/lib/postgresql/*/bin | tail -n 1)
export PATH=$bin:$PATH PGHOST=$D PGUSER=postgres LC_ALL=C
mkdir -p home/pg/incoming ts
initdb -D data -A trust -U postgres --no-locale -E UTF8 -N --wal-segsize=1 -k >/dev/null
cat >>data/postgresql.conf <<E
listen_addresses = ''
unix_socket_directories = '$D'
fsync = off
shared_buffers = 16MB
archive_mode = on
archive_command = 'cp %p $D/home/pg/incoming/%f'
E
pg_ctl -D data -w -t 60 -l log start >/dev/null
trap 'pg_ctl -D data -m immediate stop >/dev/null' EXIT
psql -qc "create tablespace side location '$D/ts'" \
	-c "create table a as select g, md5(g::text) t from generate_series(1, 3000) g" \
	-c "create table b tablespace side as select * from a"

backup() { # settings of the server
	cat >barman.conf <<E
[barman]
barman_home = $D/home
barman_user = postgres
log_file = $D/barman.log
[pg]
conninfo = host=$D user=postgres dbname=postgres
streaming_conninfo = host=$D user=postgres dbname=postgres
immediate_checkpoint = true
archiver = on
$1
E
	barman -c barman.conf switch-wal --archive pg
	barman -c barman.conf backup pg
	psql -qc "create table if not exists later (x int)" -c "insert into later values (1)" -c "select pg_switch_wal()"
	sleep 1
	barman -c barman.conf archive-wal pg
	psql -qc "insert into a select g, md5(g::text) from generate_series(1, 500) g"
}
backup $'backup_method = postgres\ncompression = gzip'
backup $'backup_method = local-rsync\nparallel_jobs = 1\ncompression = bzip2'
tar --sort=name --owner=0 --group=0 -C home -cf - pg | zstd -19 --long=27 >server.tar.zst
