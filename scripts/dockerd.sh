#!/usr/bin/env bash
# A Docker engine of the tests' own: beside the host's, if there is one, with
# its own socket, storage and containerd namespace, and without touching the
# host's network (containers here have none).
#
#   scripts/dockerd.sh start   starts it unless it runs; prints DOCKER_HOST=...
#   scripts/dockerd.sh stop    stops it; images stay for the next start
#   scripts/dockerd.sh purge   stops it and removes its images
#
#   eval "export $(scripts/dockerd.sh start)"
set -euo pipefail

run=${SNAPVIEW_DOCKERD_RUN:-/run/snapview-dockerd}
data=${SNAPVIEW_DOCKERD_DATA:-/var/lib/snapview-dockerd}
host=unix://$run/docker.sock
# Not below exec-root: what dockerd puts there is its own business.
pidfile=$run/dockerd.pid

answers() { docker -H "$host" version >/dev/null 2>&1; }

# pid prints the daemon's process id if it is ours and runs.
pid() {
	local p
	p=$(cat "$pidfile" 2>/dev/null) || return 1
	[ "$(cat "/proc/$p/comm" 2>/dev/null)" = dockerd ] || return 1
	tr '\0' '\n' <"/proc/$p/cmdline" | grep -qxF -- "--pidfile=$pidfile" || return 1
	echo "$p"
}

need() {
	type -P "$1" >/dev/null && return
	echo "dockerd.sh: $1 is missing; on Debian and Ubuntu: apt-get install docker.io" >&2
	exit 1
}

start() {
	need dockerd
	need docker
	if [ "$(id -u)" != 0 ]; then
		echo "dockerd.sh: starting a Docker engine needs root" >&2
		exit 1
	fi
	mkdir -p "$run" "$data"
	chmod 700 "$run"
	if ! answers; then
		rm -f "$pidfile"
		setsid dockerd --host="$host" --pidfile="$pidfile" \
			--data-root="$data" --exec-root="$run/exec" \
			--containerd-namespace=snapview --containerd-plugins-namespace=snapview-plugins \
			--bridge=none --iptables=false --ip6tables=false \
			</dev/null >"$run/dockerd.log" 2>&1 &
		for _ in $(seq 300); do
			answers && break
			sleep 0.1
		done
	fi
	if ! answers; then
		echo "dockerd.sh: the engine does not answer; the end of its log:" >&2
		tail -n 20 "$run/dockerd.log" >&2
		stop
		exit 1
	fi
	echo "DOCKER_HOST=$host"
}

stop() {
	local p
	if p=$(pid); then
		kill "$p"
		for _ in $(seq 300); do
			[ -e "/proc/$p" ] || break
			sleep 0.1
		done
		if [ -e "/proc/$p" ]; then
			echo "dockerd.sh: process $p does not end" >&2
			exit 1
		fi
	fi
	rm -rf "$run"
}

case ${1:-} in
start) start ;;
stop) stop ;;
purge)
	stop
	rm -rf "$data"
	;;
*)
	sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
