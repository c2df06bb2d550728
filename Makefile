# peerkit: `make demo` shows what it does, `make test` checks everything.
# The other targets are steps of these two; CONTRIBUTING.md says when to use which.

CARGO ?= cargo
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
RELEASE_DIR := $(abspath $(TARGET))/release
DEV_DIR := $(abspath $(TARGET))/debug
GO_DIR := tests/interop/go
JS_DIR := tests/interop/js
CLI_JS_DIR := cli/tests/js
PAGE_DIR := cli/dashboard
CLI_PYTHON_DIR := cli/tests/python
SONAME := libpeerkit.so.0
# Everything but the benchmarks, with one set of features: clippy, rustdoc and the tests then share one build of each
# dependency.
EVERYTHING := --workspace --exclude peerkit-bench --all-features

.NOTPARALLEL:
.PHONY: help demo test test-deps lint lib program release dev-lib header go-peer js-peer js-tools python-tools dashboard dashboard-current dashboard-picture e2e bench clean

help:
	@echo "make demo       build everything and watch real peers find, lose and remember each other"
	@echo "make test       all checks and tests, as CI runs them"
	@echo "make lib        the C libraries: $(RELEASE_DIR)/libpeerkit.so and libpeerkit.a"
	@echo "make program    the program: $(RELEASE_DIR)/peerkit"
	@echo "make dashboard  build the page that peerkit serve shows, into cli/assets"
	@echo "make e2e        the page in a real browser against real nodes; pictures go to target/e2e"
	@echo "make lint       formatting, lints, documentation, dependencies"
	@echo "make header     generate include/peerkit.h anew"
	@echo "make bench      benchmarks; the tables go to benches/RESULTS.md"
	@echo "make test-deps  install what the tests need and this machine lacks"

demo:
	@echo "Building libpeerkit and the program. The first time this compiles libp2p too: about 5 minutes on two cores."
	@$(MAKE) --no-print-directory release
	@PEERKIT_LIB_DIR=$(RELEASE_DIR) scripts/demo

test: test-deps lint dashboard-current dev-lib go-peer js-peer js-tools python-tools
	PEERKIT_PROGRAM=$(DEV_DIR)/peerkit PEERKIT_LIB_DIR=$(DEV_DIR) $(CARGO) test $(EVERYTHING)
	@scripts/features test

test-deps:
	@scripts/test-deps

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	@scripts/features
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(EVERYTHING) --no-deps
	cd $(GO_DIR) && test -z "$$(gofmt -l .)" && go vet ./...
	@scripts/deny

lib:
	$(CARGO) build --release -p peerkit-capi
	@ln -sf libpeerkit.so $(RELEASE_DIR)/$(SONAME)

program:
	$(CARGO) build --release -p peerkit-cli

# Both in one run of cargo, which compiles the crates they share once.
release:
	$(CARGO) build --release -p peerkit-capi -p peerkit-cli
	@ln -sf libpeerkit.so $(RELEASE_DIR)/$(SONAME)

# The libraries that the C tests use: what `make lib` makes, without optimisation, on the dependencies that the tests
# have anyway. Naming an example counts in what tests depend on, so that each dependency has the same features.
dev-lib:
	$(CARGO) build --workspace --exclude peerkit-bench --lib --example rust_cdylib
	@ln -sf libpeerkit.so $(DEV_DIR)/$(SONAME)

header:
	PEERKIT_UPDATE=1 $(CARGO) test --all-features --test header

go-peer:
	cd $(GO_DIR) && go build -o bin/interop .

# Packages run no scripts of theirs. Node 22, which js-libp2p needs, is one of them: 185 MB.
js-peer: $(JS_DIR)/node_modules/.installed

$(JS_DIR)/node_modules/.installed: $(JS_DIR)/package-lock.json
	cd $(JS_DIR) && npm ci --ignore-scripts --loglevel=error
	@touch $@

# What the program's tests drive it with: the official clients of MCP, and a browser's. No scripts of theirs are run.
js-tools: $(CLI_JS_DIR)/node_modules/.installed

$(CLI_JS_DIR)/node_modules/.installed: $(CLI_JS_DIR)/package-lock.json
	cd $(CLI_JS_DIR) && npm ci --ignore-scripts --loglevel=error
	@touch $@

# The page is built from TypeScript and committed, so that building the program needs no Node
# (docs/adr/0015-dashboard.md).
dashboard: $(PAGE_DIR)/node_modules/.installed
	cd $(PAGE_DIR) && npm run --silent check && npm run --silent build

dashboard-current: $(PAGE_DIR)/node_modules/.installed
	cd $(PAGE_DIR) && npm run --silent check && npm run --silent build -- $(abspath $(TARGET))/dashboard
	diff -r $(TARGET)/dashboard cli/assets || { echo "cli/assets isn't current: make dashboard, and commit"; false; }

$(PAGE_DIR)/node_modules/.installed: $(PAGE_DIR)/package-lock.json
	cd $(PAGE_DIR) && npm ci --ignore-scripts --loglevel=error
	@touch $@

# STORY=name tells one story only.
e2e: js-tools
	$(CARGO) build -p peerkit-cli
	PEERKIT_BIN=$(abspath $(TARGET))/debug/peerkit E2E_ARTIFACTS=$(abspath $(TARGET))/e2e \
	node $(CLI_JS_DIR)/e2e/main.mjs $(STORY)

# The README's picture of it.
dashboard-picture: js-tools
	$(CARGO) build -p peerkit-cli
	PEERKIT_BIN=$(abspath $(TARGET))/debug/peerkit E2E_ARTIFACTS=docs node $(CLI_JS_DIR)/e2e/picture.mjs

python-tools: $(CLI_PYTHON_DIR)/.venv/.installed

$(CLI_PYTHON_DIR)/.venv/.installed: $(CLI_PYTHON_DIR)/requirements.txt
	python3 -m venv $(CLI_PYTHON_DIR)/.venv
	$(CLI_PYTHON_DIR)/.venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r $<
	@touch $@

bench: release go-peer
	@scripts/bench

clean:
	$(CARGO) clean
	rm -rf $(GO_DIR)/bin $(JS_DIR)/node_modules $(CLI_JS_DIR)/node_modules $(PAGE_DIR)/node_modules $(CLI_PYTHON_DIR)/.venv
