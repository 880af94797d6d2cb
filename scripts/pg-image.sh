#!/usr/bin/env bash
# Makes Docker images of PostgreSQL out of Debian's packages, for the tests of
# the Docker runner: laid out like the official image (user postgres with uid
# 999, binaries in /usr/lib/postgresql/MAJOR/bin and on PATH), but without
# asking a registry.
#
#   scripts/pg-image.sh MAJOR...   into the engine at DOCKER_HOST, as
#                                  snapview/postgres:MAJOR and postgres:MAJOR
#
# The second name is taken only in the engine of scripts/dockerd.sh; in any
# other one postgres:MAJOR is its owner's. The root file systems are kept in
# build/pg-image/.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${DOCKER_HOST:-} in
*/snapview-dockerd/docker.sock | "unix://${SNAPVIEW_DOCKERD_RUN:-/nonexistent}/docker.sock") own=1 ;;
*) own= ;;
esac

# suite MAJOR: the release of Debian that has it.
suite() {
	case $1 in
	13) echo bullseye ;;
	15) echo bookworm ;;
	17) echo trixie ;;
	*)
		echo "pg-image.sh: no release of Debian has PostgreSQL $1; there are 13, 15 and 17" >&2
		return 1
		;;
	esac
}

# mirror: Debian's archive as this machine is told to reach it.
mirror() {
	local uri
	# shellcheck disable=SC2016 # a format of apt's
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		grep -E '/debian/?$' | head -n 1) || true
	echo "${uri:-http://deb.debian.org/debian}"
}

build() {
	local major=$1 tar=$2 release
	release=$(suite "$major")
	if ! type -P mmdebstrap >/dev/null; then
		echo "pg-image.sh: mmdebstrap is missing; apt-get install mmdebstrap" >&2
		exit 1
	fi
	# The user comes before the package would choose its number, and no
	# cluster is made. Documentation and translations stay out.
	# shellcheck disable=SC2016 # $1 is the hook's
	mmdebstrap --quiet --variant=essential --include="postgresql-$major" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook='echo "postgres:x:999:" >>"$1/etc/group"' \
		--essential-hook='echo "postgres:x:999:999::/var/lib/postgresql:/bin/bash" >>"$1/etc/passwd"' \
		--essential-hook='echo "postgres:*:19000:0:99999:7:::" >>"$1/etc/shadow"' \
		--essential-hook='mkdir -p "$1/etc/postgresql-common"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
		"$release" "$tar.tmp.tar" "$(mirror)"
	mv "$tar.tmp.tar" "$tar"
}

[ $# -gt 0 ] || {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
mkdir -p build/pg-image
for major in "$@"; do
	tar=build/pg-image/$major.tar
	if docker image inspect "snapview/postgres:$major" >/dev/null 2>&1; then
		continue
	fi
	[ -e "$tar" ] || build "$major" "$tar"
	docker import \
		--change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/$major/bin" \
		--change "ENV PG_MAJOR=$major" --change 'ENV LANG=C.UTF-8' --change 'ENV PGDATA=/var/lib/postgresql/data' \
		--change 'CMD ["postgres"]' \
		"$tar" "snapview/postgres:$major" >/dev/null
	[ -z "$own" ] || docker tag "snapview/postgres:$major" "postgres:$major"
	echo "snapview/postgres:$major"
done
