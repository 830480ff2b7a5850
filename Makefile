# What people and CI do with this checkout. `make help` lists it.

CARGO ?= cargo
# Tests run under nextest where it is installed, and under cargo's own runner where it is not.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
# Where cargo puts what it builds, asked of cargo itself so that CARGO_TARGET_DIR and configuration files count.
TARGET = $(shell $(CARGO) metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

.DEFAULT_GOAL := help
.PHONY: help demo run test test-dynamodb-local lint deny package bench load soak chaos fuzz simulate mutants cargo

help: ## Lists what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'

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

test-dynamodb-local: cargo ## What the gate relies on in its table, tried on AWS's own DynamoDB Local (npm, Java)
	scripts/dynamodb-local.sh $(CARGO) test --locked -p signoff-functions --test ledger -- --ignored --test-threads 1 dynamodb_local

lint: cargo ## Formatting, clippy and rustdoc, all warnings fatal
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/coverage/Cargo.toml >/dev/null

deny: cargo ## Licences, sources and duplicates of what is depended on, and advisories where they can be had
	CARGO="$(CARGO)" scripts/deny.sh

package: cargo ## The functions for Lambda, target/lambda/<name>/bootstrap.zip; ARCH=arm64; TWICE=1: twice, the same bytes
	CARGO="$(CARGO)" scripts/package.sh $(if $(TWICE),--twice)

bench: cargo ## How fast and how big it is, measured on this machine
	HELLO=1 CARGO="$(CARGO)" scripts/package.sh
	$(CARGO) build --locked --release -p signoff -p signoff-tests --bin signoff --bin bench
	"$(TARGET)/release/bench"

load: cargo ## Many calls, floods and a long history: SECONDS=20 FINISHED=6000 OPEN=200 REPLAYS=2000
	$(CARGO) build --locked --release -p signoff -p signoff-tests --bin signoff --bin load
	SECONDS=$(or $(SECONDS),20) FINISHED=$(FINISHED) OPEN=$(OPEN) REPLAYS=$(REPLAYS) "$(TARGET)/release/load"

soak: cargo ## Requests that come and go for SECONDS=3600: the memory has to stay as it is
	$(CARGO) build --locked --release -p signoff -p signoff-tests --bin signoff --bin load
	SECONDS=$(or $(SECONDS),3600) "$(TARGET)/release/load" soak

# Without the referee, which checks some 25 calls a second: it would be the slowest thing by far, and it sees the same calls in `make test`.
chaos: cargo ## Everything goes wrong, on the real process: SECONDS=600 REQUESTS=200 STACKS=20; SEED=n: that one
	$(CARGO) build --locked -p signoff
	SIGNOFF_SPEC_PROXY=none SIGNOFF_CHAOS_SECONDS=$(or $(SECONDS),600) SIGNOFF_CHAOS_REQUESTS=$(or $(REQUESTS),200) \
	  SIGNOFF_CHAOS_STACKS=$(or $(STACKS),20) SIGNOFF_CHAOS_SEED=$(or $(SEED),20261123) \
	  $(CARGO) test --locked -p signoff-tests --test it -- chaos --nocapture

# libFuzzer's way of watching what an input reaches; nothing here is unstable.
SANCOV := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
fuzz: cargo ## Looks for hostile input, guided by coverage: FUZZ=webhook, push, body, query, gates, answers or github, for SECONDS=60 each
	RUSTFLAGS="$(SANCOV)" $(CARGO) build --locked --manifest-path fuzz/coverage/Cargo.toml --target $(HOST) --target-dir "$(TARGET)/fuzz"
	for target in $(or $(FUZZ),webhook push body query gates answers github); do mkdir -p "$(TARGET)/fuzz/found/$$target" && \
	  SIGNOFF_FUZZ_TARGET=$$target "$(TARGET)/fuzz/$(HOST)/debug/signoff-fuzz-coverage" -max_total_time=$(or $(SECONDS),60) \
	    -timeout=5 -rss_limit_mb=1024 -max_len=1048640 -len_control=200 -artifact_prefix="$(TARGET)/fuzz/found/$$target-" \
	    "$(TARGET)/fuzz/found/$$target" "fuzz/corpus/$$target" || exit 1; done

simulate: cargo ## The gate on a simulated clock, cloud and ledger: SEEDS=20000, SECONDS=300 at most; SEED=n: one, step by step
	$(CARGO) build --locked --profile simulate -p signoff-simulation --bin simulate
	"$(TARGET)/simulate/simulate" $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),20000) --seconds $(or $(SECONDS),300) --from $(or $(FROM),1) --threads $(or $(THREADS),1))

mutants: cargo ## Breaks the gate on purpose, and expects the simulation to notice each time; QUICK=1: what few seeds find; ONLY="02 18": those
	QUICK=$(QUICK) tests/simulation/mutations/run $(ONLY)

cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "There is no cargo. Install Rust 1.95 or later: https://rustup.rs" >&2; exit 1; }
	@scripts/rust-version.sh $(CARGO)
