#!/usr/bin/env bash
# Runs every fuzz target in turn, FUZZTIME each (default one minute).
set -euo pipefail
cd "$(dirname "$0")/.."
GO=$(scripts/go.sh)
"$GO" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r package; do
	for target in $("$GO" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-1m}" "$package" </dev/null
	done
done
