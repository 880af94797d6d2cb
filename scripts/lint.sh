#!/usr/bin/env bash
# The checks that need no test: formatting, vet, staticcheck, shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=$(scripts/go.sh)
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r "$(dirname "$GO")/gofmt" -l)
if [ -n "$unformatted" ]; then
	printf 'lint: not formatted:\n%s\n' "$unformatted" >&2
	exit 1
fi
"$GO" vet ./...
"$GO" run "$staticcheck" ./...
"$GO" mod tidy -diff
if type -P shellcheck >/dev/null; then
	git ls-files -co --exclude-standard '*.sh' .ci/run | xargs -r shellcheck -x
else
	echo 'lint: no shellcheck here, shell scripts not checked' >&2
fi
