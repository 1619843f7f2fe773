# Everything sets itself up: start with `make run` or `make test`.
#
#   PYTHON=...   the Python for a new .venv (default: python3, at least 3.10)
#   ARGS=...     more arguments, e.g. make test ARGS="-k broadcast -x"
#   JOBS=...     tests at a time, for they wait more than they work; 0: one
#                after the other, with their output at once
#   PEERS=...    of make bench, e.g. PEERS="wssend go"; default: all that can run
#   CASES=...    of make conformance, e.g. CASES="6.* 7.1.1"

SHELL := /bin/bash -euo pipefail
VENV := .venv
BUILD := build/dev
export PYTHON
export JOBS ?= 4

.PHONY: help setup setup-e2e build run test test-asan test-tsan \
	test-all-pythons conformance fuzz fuzz-quick hostile lint format bench \
	bench-budget bench-gil bench-growth bench-inbound bench-micro bench-pumps \
	bench-soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

# The machine is looked at once, and again when the look-out has changed.
.deps/ready: scripts/setup scripts/need scripts/build-libwebsockets \
		scripts/private-apt.sh
	@scripts/setup
	@mkdir -p $(@D) && touch $@

build: .deps/ready
	@scripts/build $(VENV) $(BUILD) dev cmake.define.WSSEND_TESTS=ON \
		cmake.define.WSSEND_BENCH=ON

setup: build ## install what is missing, make .venv, compile

setup-e2e: build ## the browser and the tools that the end-to-end tests use
	@scripts/setup-e2e

run: build ## serve the demo page
	@$(VENV)/bin/wssend serve --demo $(ARGS)

test: build $(if $(filter true,$(CI)),setup-e2e) ## C, Python and documentation tests
	@$(VENV)/bin/pytest -n $(JOBS) $(ARGS)

test-asan: .deps/ready ## the same under address and undefined sanitizers
	@scripts/test-sanitized asan $(ARGS)

test-tsan: .deps/ready ## the same under the thread sanitizer
	@scripts/test-sanitized tsan $(ARGS)

test-all-pythons: .deps/ready ## Python tests on each other Python of this machine
	@scripts/test-all-pythons $(ARGS)

conformance: build ## all of the Autobahn test suite
	@scripts/setup-autobahn
	@set -f; cd tests && ../$(VENV)/bin/python -m e2e.conformance $(CASES)

fuzz: .deps/ready ## five minutes for each fuzz target, or ARGS="--seconds N TARGET"
	@scripts/fuzz $(ARGS)

fuzz-quick: .deps/ready ## their corpus, and a few seconds more
	@scripts/fuzz --seconds 3 --jobs 2 $(ARGS)

lint: build ## formatters, types, static analysis
	@scripts/lint

format: build ## let the formatters have their way
	@scripts/need clang-format-14
	clang-format-14 -i csrc/*/*.[ch] tests/c/*.[ch] tests/fuzz/*.[ch] bench/*.h bench/*/*.[ch]
	$(VENV)/bin/ruff format --quiet .
	$(VENV)/bin/ruff check --fix --quiet .

bench: build ## wssend beside its peers: a table and a plot in build/bench
	-@$(VENV)/bin/python -c 'import matplotlib' 2>/dev/null || \
		$(VENV)/bin/python -m pip install --quiet \
		--disable-pip-version-check -r bench/requirements.txt
	@$(VENV)/bin/python bench/run.py --plot build/bench/plot.svg \
		$(PEERS) $(ARGS)

bench-gil: build ## who waits for whom: send() and the GIL
bench-growth: build ## from few clients to many, from small messages to large
bench-pumps: build ## one pump against two, on all cores
bench-budget: build ## instructions and system calls of one message
bench-inbound: build ## what a message that comes in costs in asyncio
bench-soak: build ## half an hour of clients that come and go: is memory flat?
bench-budget bench-gil bench-growth bench-inbound bench-pumps bench-soak:
	@$(VENV)/bin/python bench/$(@:bench-%=%).py $(ARGS)

bench-micro: .deps/ready ## the core alone: a send, a fan-out, how long a lock is held
	@cmake -S . -B build/micro -G Ninja -DWSSEND_PYTHON=OFF \
		-DWSSEND_MICRO=ON --log-level=WARNING
	@cmake --build build/micro --target micro
	@for job in send "fanout 10000" "hold 10000"; do \
		build/micro/micro $$job; \
	done

hostile: build ## attacks at full size, and what they cost
	@$(VENV)/bin/python scripts/hostile-report $(ARGS)

clean: ## remove what was built, not what was downloaded
	rm -rf $(VENV) build dist .*_cache
