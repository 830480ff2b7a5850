# What people and CI do with this checkout. `make help` lists it.

CARGO ?= cargo
# Tests run under nextest where it is installed, and under cargo's own runner where it is not.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
# Where cargo puts what it builds, asked of cargo itself so that CARGO_TARGET_DIR and configuration files count.
TARGET = $(shell $(CARGO) metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

.DEFAULT_GOAL := help
.PHONY: help demo run test lint bench simulate mutants cargo

help: ## Lists what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: cargo ## One deployment from the request to its end, against a simulated Pulumi Cloud; INTERACTIVE=1: you approve
	$(CARGO) build --locked -p signoff
	SIGNOFF="$(TARGET)/debug/signoff" INTERACTIVE="$(INTERACTIVE)" scripts/demo.sh

run: cargo ## `signoff local --simulate`, to play with; ends with Ctrl-C
	$(CARGO) build --locked -p signoff
	"$(TARGET)/debug/signoff" local --simulate

test: cargo ## All tests
	$(CARGO) build --locked -p signoff
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --locked --workspace --no-fail-fast
else
	$(CARGO) test --locked --workspace --lib --bins --tests --examples --no-fail-fast
endif
	$(CARGO) test --locked --workspace --doc

lint: cargo ## Formatting, clippy and rustdoc, all warnings fatal
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

bench: cargo ## How fast and how big it is, measured on this machine
	$(CARGO) build --locked --release -p signoff -p signoff-tests --bin signoff --bin bench
	"$(TARGET)/release/bench"

simulate: cargo ## The gate on a simulated clock, cloud and ledger: SEEDS=20000, SECONDS=300 at most; SEED=n: one, step by step
	$(CARGO) build --locked --profile simulate -p signoff-simulation --bin simulate
	"$(TARGET)/simulate/simulate" $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),20000) --seconds $(or $(SECONDS),300) --from $(or $(FROM),1) --threads $(or $(THREADS),1))

mutants: cargo ## Breaks the gate on purpose, and expects the simulation to notice each time
	tests/simulation/mutations/run

cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "There is no cargo. Install Rust 1.95 or later: https://rustup.rs" >&2; exit 1; }
	@scripts/rust-version.sh $(CARGO)
