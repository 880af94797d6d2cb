#!/usr/bin/env bash
# Builds and checks the page. Installs what web/ui/package-lock.json names when
# it is not installed yet.
#
#   scripts/ui.sh build   web/ui -> web/dist, and the types from openapi.yaml
#   scripts/ui.sh check   types, unit tests, and that web/dist is what the
#                         source builds to; changes nothing that is committed
#   scripts/ui.sh test    the unit tests alone
#   scripts/ui.sh deps    only installs
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$(scripts/node.sh):$PATH
export PATH
cd web/ui

deps() {
	local stamp=node_modules/.snapview-lock
	if [ -f "$stamp" ] && cmp -s package-lock.json "$stamp"; then
		return
	fi
	# Scripts of packages are not run: none of them is needed.
	npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >&2
	cp package-lock.json "$stamp"
}

types() {
	npm run --silent types -- -o "$1" >/dev/null
}

case ${1:-} in
build)
	deps
	types src/lib/api/schema.d.ts
	npm run --silent build
	;;
check)
	deps
	types build.schema.d.ts
	trap 'rm -f build.schema.d.ts' EXIT
	if ! cmp -s build.schema.d.ts src/lib/api/schema.d.ts; then
		echo "ui.sh: web/ui/src/lib/api/schema.d.ts is not what web/openapi.yaml says: run make ui" >&2
		exit 1
	fi
	npm run --silent check
	npm run --silent test
	npx vite build --logLevel warn
	npm run --silent verify
	;;
test)
	deps
	npm run --silent test
	;;
deps)
	deps
	;;
*)
	sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2
	exit 2
	;;
esac
