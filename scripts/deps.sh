#!/usr/bin/env bash
# Installs the Debian packages that a target needs, only those that are
# missing, and says which before it does.
#
#   scripts/deps.sh run     what snapview itself and the demo need
#   scripts/deps.sh test    that, and the tools that the tests judge by
#   scripts/deps.sh bench   that, and what the benchmarks compare with
set -euo pipefail

run=(ca-certificates curl unzip make e2fsprogs postgresql postgresql-client)
test=(
	"${run[@]}"
	gcc libc6-dev                                      # the race detector
	zstd lz4 xz-utils bzip2 tar jq openssl procps      # fixtures and scripts
	fdisk lvm2 xfsprogs                                # disk images with partitions, XFS
	fuse3 qemu-utils libnbd-bin python3-libnbd         # NBD and image clients
	nbdkit nbd-client fio                              #
	qemu-system-x86 seabios                            # the kernel's NBD client
	pgbackrest                                         # repositories to open
	restic borgbackup python3-pyfuse3                  # backups that are mounted
	docker.io mmdebstrap                               # PostgreSQL in Docker
	chromium fonts-dejavu-core                         # the page
	nodejs npm                                         # the page's build and tests
)
bench=("${test[@]}" qemu-system-common hyperfine)

case ${1:-} in
run) want=("${run[@]}") ;;
test) want=("${test[@]}") ;;
bench) want=("${bench[@]}") ;;
*)
	sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# provided NAME: whether something else already does the package's work, such
# as a node that did not come from Debian.
provided() {
	case $1 in
	nodejs) type -P node >/dev/null ;;
	npm) type -P npm >/dev/null ;;
	postgresql) compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ;;
	*) return 1 ;;
	esac
}

missing=()
for package in "${want[@]}"; do
	installed "$package" || provided "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! type -P apt-get >/dev/null; then
	echo "deps.sh: this is no Debian or Ubuntu; install the like of: ${missing[*]}" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: these packages are missing, and installing them needs root:" >&2
	echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

echo "deps.sh: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# snapview wants PostgreSQL's programs, not a cluster that starts by itself.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
	if { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		exit 0
	fi
	echo "deps.sh: apt-get failed (try $try of 3)" >&2
	sleep $((try * 5))
done
tail -n 30 "$log" >&2
exit 1
