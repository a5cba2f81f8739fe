# What a developer types. `make test` is the whole suite; nothing in it is left out silently.

# What the tests run besides Rust: the tour of the README (curl, jq), a C compiler for ring, Go for the API server, what the
# bundled policies are about, for the images buildah and a linter from PyPI, and what a whole node is made of.
PACKAGES := gcc libc6-dev make curl jq openssl git patch procps nutcracker memcached nginx prometheus-nginx-exporter buildah python3 python3-venv \
    containerd runc containernetworking-plugins busybox-static iptables conntrack iproute2 util-linux
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
GO_NEEDED := 1.26
# As in the Dockerfile.
AUDITABLE := 0.7.7

.PHONY: test tools profdata check bench compare demo demo-down

# With another version of Kubernetes: make test KUBERNETES=v1.36.3
test: tools profdata
	OUTRIGGER_TEST_DEMAND=all OUTRIGGER_TEST_KUBERNETES=$(KUBERNETES) cargo test --workspace --locked

# Installs the Debian packages that are missing, where that may be, without starting their services; says what else is missing.
tools:
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query --show --showformat='$${Status}\n' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    policy=/usr/sbin/policy-rc.d; \
	    if [ ! -e $$policy ]; then \
	        trap "rm -f $$policy" EXIT INT TERM; \
	        printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; \
	    fi; \
	    echo "installing: $$(echo $$missing)" >&2; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes $$missing; \
	elif [ -n "$$missing" ] && command -v dpkg-query >/dev/null; then \
	    echo "install: $$missing" >&2; exit 2; \
	fi
	@command -v hadolint >/dev/null || [ -x $(TARGET)/tools/bin/hadolint ] || { python3 -m venv $(TARGET)/tools && \
	    $(TARGET)/tools/bin/pip install --quiet --require-hashes --requirement tests/programs/hadolint.txt; }
	@[ -x $(TARGET)/tools/bin/cargo-auditable ] || \
	    cargo install --quiet --locked --debug --root $(TARGET)/tools cargo-auditable@$(AUDITABLE)
	@command -v go >/dev/null || { echo "install Go $(GO_NEEDED) or later: https://go.dev/dl/" >&2; exit 2; }

# What a build guided by a profile needs, for the images and for the benchmark: benches/guided.sh. Without rustup it is Debian's, if that
# has the LLVM of rustc.
profdata:
	@benches/guided.sh 2>/dev/null || rustup component add llvm-tools || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes llvm-$$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'); } || true
	@benches/guided.sh

# A Kubernetes on this machine with Outrigger and its examples: examples/README.md.
NODE := $(TARGET)/node
AS_ROOT := @[ "$$(uname)" = Linux ] && [ "$$(id -u)" = 0 ] || { echo "make $@ needs root on Linux" >&2; exit 2; }
demo:
	$(AS_ROOT)
	@command -v cargo >/dev/null || { echo "install Rust: https://rustup.rs" >&2; exit 2; }
	@$(MAKE) --no-print-directory tools
	cargo build --locked --workspace --bins --example demo
	@$(TARGET)/debug/examples/demo

demo-down:
	$(AS_ROOT)
	@if [ -d $(NODE)/run ] || [ "$$(cat /run/outrigger.node 2>/dev/null)" = $(NODE)/run ]; then \
	    mkdir -p $(NODE); \
	    BIN=$(NODE)/bin RUN=$(NODE)/run flock --nonblock --conflict-exit-code 9 $(NODE)/lock tests/node/cluster/down.sh || \
	        { [ $$? != 9 ] || echo "the node belongs to a test or a make demo that runs; it takes it away itself" >&2; exit 1; }; \
	    rm -rf $(NODE)/bin; \
	fi
	@echo "nothing of the demo is here" >&2

# What CI checks besides the tests.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	cargo deny --all-features check

bench: profdata
	cargo bench --locked --workspace --bench engine --bench gather --bench work --bench idle
	benches/guided.sh cargo bench --locked --bench admission

# Tries other injectors beside Outrigger: tests/comparison/README.md. Builds them with Go, which takes minutes the first time.
COMPARISON := $(TARGET)/comparison
compare: tools
	cargo build --release --locked
	install -D $(dir $(COMPARISON))release/outrigger $(COMPARISON)/outrigger
	cd tests/comparison/kruise && go build -o $(COMPARISON)/kruise .
	cd tests/comparison/istio && go build -o $(COMPARISON)/istio .
	cd tests/comparison && go run . -programs $(COMPARISON) -check ../../docs/comparison.md
	cargo test --locked --test cluster -- mutating_admission_policy
	cargo test --locked --test cluster -- what_one_pod_costs_the_api_server --ignored --nocapture
