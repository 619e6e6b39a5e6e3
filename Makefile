# Everything that CI runs, and what a developer runs, by one name each. Needs Rust with rustfmt and clippy, Go, git
# and bash; the other tools are built into target/tools, once.

# The scripts look for what is built in target/, wherever a user's own cargo settings would put it.
export CARGO_TARGET_DIR := $(CURDIR)/target

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# One target after the other, as cargo's runs lock each other out. TOGETHER is for what `beside_tools` starts.
ifndef TOGETHER
.NOTPARALLEL:
endif
.PHONY: help build tools deny-tool test test-programs check fmt clippy doc deny scripts prose demo demo-programs dist test-krew e2e soak fuzz clean

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := target/tools/bin/cargo-deny
SCRIPTS := .ci/run packaging/dist packaging/krew-manifest tests/demo tests/data/make tests/krew/run tests/tools/install tests/cluster/rig tests/cluster/run $(wildcard tests/cluster/lib/*)

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z0-9-]+:[^#]*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the release binary, target/release/kubectl-etcd_backup
	cargo build --release --locked

# etcd's Go build beside cargo's: neither keeps all cores busy from beginning to end. Each counts the cores itself, so
# cargo gets no MAKEFLAGS: it would share the two places of this make.
beside_tools = $(MAKE) --no-print-directory -j2 TOGETHER=1 tools

# Most tests wait for a program or a clock most of the time, so there are more of them at once than cores.
test: ## all tests, with a real etcd
	+@$(beside_tools) test-programs
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-8} cargo test --workspace --locked

test-programs:
	MAKEFLAGS= cargo test --workspace --locked --no-run

# libc frees what it kept for a thread of the reader only after the thread was joined: that is not a leak.
fuzz: ## the reader of databases with any bytes, for FUZZ_SECONDS (needs nightly Rust and cargo-fuzz)
	mkdir -p target/fuzz-corpus
	cd fuzz && env -u CARGO_TARGET_DIR cargo +nightly fuzz run db ../target/fuzz-corpus corpus/db -- -max_total_time=$${FUZZ_SECONDS:-1200} -max_len=65536 -detect_leaks=0

check: fmt clippy doc deny scripts prose test ## all that must hold before a change is taken: formatting, lints, docs, licences, tests

demo: ## a backup from a fake cluster, restored and read back
	+@$(beside_tools) demo-programs
	tests/demo

# As the tests build them: what one of both has compiled, the other does not compile again.
demo-programs:
	MAKEFLAGS= cargo build --locked --bin kubectl-etcd_backup --example fake-cluster

dist: build ## this platform's archive for krew, with checksum and manifest, in target/dist
	packaging/dist

test-krew: dist ## installs that archive with the real krew and runs it through a real kubectl
	tests/krew/run

# On Linux, as root. make passes variables to tests/cluster/run, e.g. make e2e ONLY=permissions
e2e: ## the scenarios on a real control plane that it starts and stops, or on CLUSTER=current
	tests/cluster/run

soak: tools ## the same, with what takes long, and thousands of databases
	cargo test --locked --test it soak -- --ignored --nocapture
	SOAK=1 tests/cluster/run

tools: ## etcd, etcdctl and etcdutl in target/tools/bin
	tests/tools/install

clean: ## removes target/, tools included
	rm -rf target

# What `check` is made of.

fmt:
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing: 'rustup component add rustfmt' installs it" >&2; exit 1; }
	cargo fmt --check

clippy:
	@cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing: 'rustup component add clippy' installs it" >&2; exit 1; }
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --test e2e --locked -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

deny: deny-tool
	$(CARGO_DENY) --locked check licenses bans sources

# An unoptimised cargo-deny is built in a fraction of the time and runs in seconds. cargo builds it in a temporary
# directory, because it does not belong to this project's target directory.
deny-tool:
	@[ "$$($(CARGO_DENY) --version 2>/dev/null)" = "cargo-deny $(CARGO_DENY_VERSION)" ] || \
	  env -u CARGO_TARGET_DIR cargo install --debug --locked --force --root target/tools cargo-deny --version $(CARGO_DENY_VERSION)

scripts:
	@for script in $(SCRIPTS); do bash -n "$$script" || exit 1; done

# The words that CONTRIBUTING.md asks to leave out; "there is no" and "is no longer" are fine. The lines of this file that
# name them are not searched.
UNPLAIN := is no [a-z]+|nobody|whoever|for ever|all the same|in words|the talk|by itself|goes on|makes no sense|meanwhile|proven|unproven|stand-in
PLAIN := there is no |is no longer|UNPLAIN :=

prose:
	@! git grep -niwE '$(UNPLAIN)' -- '*.md' '*.rs' '*.go' '*.yaml' Makefile .ci packaging tests/cluster/lib tests/cluster/rig tests/cluster/run tests/demo tests/krew/run tests/tools/install tests/data/make ':!LICENSE' | grep -viE '$(PLAIN)' || \
	  { echo 'use plain words: see "Names and language" in CONTRIBUTING.md' >&2; exit 1; }
