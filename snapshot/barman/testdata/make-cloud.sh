#!/bin/bash
# Makes cloud.tar.zst, what barman-cloud-backup and barman-cloud-wal-archive put
# into a bucket: a backup split into three tars, with a tablespace, and one that
# failed. Needs barman-cli-cloud, python3-boto3 and PostgreSQL of Debian, and the
# S3 server that scripts/s3server.sh builds. As user postgres; DIR must be empty.
#
#   runuser -u postgres -- ./make-cloud.sh DIR VERSITYGW
#
# The files of tables in the tar of the data directory are overwritten with zeros
# afterwards, in place, which makes a megabyte out of ten: no header is touched.
set -eu
server=$2
cd "$1"
D=$PWD
bin=$(printf "%s\n" /usr/lib/postgresql/*/bin | tail -n 1)
export PATH=$bin:$PATH PGHOST=$D PGUSER=postgres LC_ALL=C
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test-secret AWS_DEFAULT_REGION=us-east-1
to=http://127.0.0.1:7171
mkdir -p s3/bucket side ts
ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
	"$server" --quiet --port 127.0.0.1:7171 posix --sidecar "$D/side" --default-etag 0 "$D/s3" >server.log 2>&1 &
pid=$!
trap 'pg_ctl -D data -m immediate stop >/dev/null; kill $pid' EXIT
initdb -D data -A trust -U postgres --no-locale -E UTF8 -N --wal-segsize=1 -k >/dev/null
cat >>data/postgresql.conf <<E
listen_addresses = ''
unix_socket_directories = '$D'
fsync = off
shared_buffers = 16MB
archive_mode = on
archive_command = 'barman-cloud-wal-archive --endpoint-url $to s3://bucket pg %p'
E
pg_ctl -D data -w -t 60 -l log start >/dev/null
psql -qc "create tablespace side location '$D/ts'" \
	-c "create table b tablespace side as select g, md5(g::text) t from generate_series(1, 500) g"
barman-cloud-backup --endpoint-url "$to" --immediate-checkpoint -S 10MB -h "$D" -U postgres s3://bucket pg
# python3-snappy of bookworm is too old for its Python: this one fails half-way.
barman-cloud-backup --endpoint-url "$to" --immediate-checkpoint --snappy -h "$D" -U postgres s3://bucket pg || true
psql -qc "select pg_switch_wal()" >/dev/null
until ls s3/bucket/pg/wals/*/*.backup >/dev/null 2>&1; do sleep 1; done
python3 - s3/bucket/pg/base/*/data*.tar <<'E'
import sys, tarfile
for name in sys.argv[1:]:
    with tarfile.open(name) as t, open(name, "r+b") as f:
        for m in t:
            parts = m.name.split("/")
            if m.isfile() and parts[0] == "base" and parts[-1] != "PG_VERSION":
                f.seek(m.offset_data)
                f.write(bytes(m.size))
E
begin=$(cat s3/bucket/pg/base/*/backup.info | sed -n '/^begin_wal=/{s///p;q}')
find s3/bucket/pg/wals -type f ! -name "$begin*" -delete
tar --sort=name --owner=0 --group=0 -C s3/bucket -cf - pg | zstd -19 --long=27 >cloud.tar.zst
