# What people run. Everything it needs, a target gets by itself: packages by
# scripts/deps.sh, Go by scripts/go.sh, node by scripts/node.sh.

GO      = $(shell scripts/go.sh)
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
SOURCES = $(shell find . -name '*.go' -not -path './build/*' -not -path './web/ui/*') go.mod go.sum $(wildcard web/dist/* web/openapi.yaml)

.PHONY: help build demo test test-vm lint ui ui-check bench fuzz clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: bin/snapview ## build bin/snapview

bin/snapview: $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/snapview

demo: ## make a demo backup and open it (CHECK=1: query it, tear down, exit)
	@scripts/deps.sh run
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh

test: ## install what the tests need and run every test
	@scripts/deps.sh test
	@scripts/test.sh

test-vm: ## of the tests, those of the kernel's NBD client only, in virtual machines
	@scripts/deps.sh test
	SNAPVIEW_VM=1 $(GO) test -count=1 -timeout 15m -v ./attach/kerneltest

lint: ## gofmt, vet, staticcheck, shellcheck
	@scripts/lint.sh

ui: ## build the page into web/dist
	@scripts/ui.sh build

ui-check: ## build the page again and compare it with what is committed
	@scripts/ui.sh check

bench: ## measure beside what a user would take instead; writes docs/benchmarks.md
	@scripts/deps.sh bench
	@$(MAKE) --no-print-directory build
	@scripts/bench.sh

fuzz: ## fuzz every parser (FUZZTIME=1m each)
	@scripts/fuzz.sh

clean: ## remove what was built
	rm -rf bin build
