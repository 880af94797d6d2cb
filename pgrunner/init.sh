#!/bin/sh
# The first process of a sandbox, the same in a container and in local
# namespaces. It takes orders, one a line, from standard input; end of file
# before "serve" ends it, and nothing of the session is left running.
# Go watches /snapview/run/setup.rc for the end of "single".
umask 077
run=/snapview/run
PATH=$SNAPVIEW_BINDIR:$PATH
export LC_ALL=C
set -- -D "/snapview/root/$SNAPVIEW_DATA" \
  -c config_file=$run/postgresql.conf -c hba_file=$run/pg_hba.conf -c ident_file=$run/pg_ident.conf
while read -r order; do
  case $order in
  single)
    postgres --single "$@" "$(cat $run/setup.db)" <$run/setup.sql >$run/setup.out 2>>$run/postgres.log
    echo $? >$run/setup.tmp
    mv -f $run/setup.tmp $run/setup.rc
    ;;
  serve)
    exec postgres "$@" </dev/null >>$run/postgres.log 2>&1
    ;;
  esac
done
