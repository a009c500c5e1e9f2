# Isthmus. `make help` lists the targets; each does its own set-up (hack/setup).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run demo test images e2e chaos bench bench-cluster fuzz lint crds chart docs conformance

CARGO ?= cargo
# Where cargo builds; the same default as cargo's own.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# What tests alone are built with (docs/ownership.md): no release has it.
FAILPOINTS := --features isthmus-broker/failpoints
FILES ?= examples/quickstart.yaml
TIME ?= 60
DURATION ?= 300

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install and fetch what `make run` needs (it does so itself)
	@hack/setup run

run: ## Start the service here: Kafka, broker, quickstart.yaml (PORT_OFFSET=1000 moves all ports; FILES, DATA)
	@hack/setup run
	@$(CARGO) build --release --bin isthmus-operator --bin isthmus-broker
	@exec '$(TARGET)/release/isthmus-operator' local $(foreach file,$(FILES),-f '$(file)') $(if $(DATA),--data '$(DATA)')

demo: ## Show device to Kafka, Kafka to device and an offline message on a running `make run`
	@hack/demo

test: ## Run every test, with all real parts (ISTHMUS_SEED=… repeats a run)
	@hack/setup test
	@$(CARGO) build --profile quick --bin isthmus-operator --bin isthmus-broker $(FAILPOINTS)
	@ISTHMUS_BIN_DIR="$$(cd '$(TARGET)' && pwd)/quick" $(CARGO) test --profile quick --workspace $(FAILPOINTS)

images: ## Build the images isthmus-broker:dev and isthmus-operator:dev as archives
	@hack/setup e2e
	@$(CARGO) build --release --bin isthmus-operator --bin isthmus-broker
	@hack/images '$(TARGET)/release' '$(TARGET)/images'

e2e: ## Test the operator on a real cluster: its own, or that of KUBECONFIG (ARGS='topics::' runs some)
	@hack/setup e2e
	@$(CARGO) build --profile quick --bin isthmus-operator --bin isthmus-broker
	@$(CARGO) test --profile quick -p isthmus-tests --test e2e
	@images="$$(test -n "$${KUBECONFIG:-}" || hack/images '$(TARGET)/quick' '$(TARGET)/images-quick')"; \
	    program="$$($(CARGO) test --profile quick -p isthmus-tests --test e2e --no-run --message-format json 2>/dev/null | grep '"name":"e2e"' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n1)"; \
	    hack/e2e "$$program" "$$images" $(ARGS)

chaos: ## Three brokers, three Kafka nodes, every fault, a ledger, for DURATION (600, 90s, 5m; BROKERS=1; PERIOD=1; ISTHMUS_SEED=… repeats)
	@hack/setup chaos
	@$(CARGO) build --profile quick --bin isthmus-operator --bin isthmus-broker --bin isthmus-chaos
	@ISTHMUS_BIN_DIR="$$(cd '$(TARGET)' && pwd)/quick" '$(TARGET)/quick/isthmus-chaos' '$(DURATION)'

bench: ## Ours, mosquitto and rumqttd side by side, and ours into Kafka (ARGS='--only "QoS 1" --runs 1'; ARGS=--help)
	@hack/setup bench >/dev/null
	@$(CARGO) build --release --bin isthmus-operator --bin isthmus-broker --bin isthmus-bench
	@test ! -w /dev/shm || export TMPDIR=/dev/shm; \
	    ISTHMUS_RUMQTTD="$$(hack/setup bench)" ISTHMUS_BIN_DIR="$$(cd '$(TARGET)' && pwd)/release" \
	    '$(TARGET)/release/isthmus-bench' $(ARGS)

bench-cluster: ## What a message costs with 1, 2 and 4 brokers, restore times, a rolling restart (ARGS='growth --brokers 1', ARGS='restore --help')
	@hack/setup bench >/dev/null
	@$(CARGO) build --release --bin isthmus-operator --bin isthmus-broker --bin isthmus-bench
	@export ISTHMUS_BIN_DIR="$$(cd '$(TARGET)' && pwd)/release"; bench='$(TARGET)/release/isthmus-bench'; \
	    if test -n '$(ARGS)'; then "$$bench" $(ARGS); else "$$bench" growth && "$$bench" restore; fi

fuzz: ## Fuzz codec and broker, each part for TIME seconds; or PACKETS=1000000 CONNECTIONS=10000 (ISTHMUS_SEED=… repeats)
	@hack/setup run
	@$(CARGO) build --profile quick --bin isthmus-operator --bin isthmus-broker --bin isthmus-fuzz
	@ISTHMUS_BIN_DIR="$$(cd '$(TARGET)' && pwd)/quick" hack/fuzz '$(TIME)' '$(PACKETS)' '$(CONNECTIONS)'

lint: ## Format, clippy, licences and known faults, unused crates, shell scripts
	@hack/lint

crds: ## Write the resource definitions to crds/
	@hack/setup run
	@mkdir -p crds
	@$(CARGO) run --quiet --bin isthmus-operator -- crds >crds/.isthmus.yaml.new
	@mv crds/.isthmus.yaml.new crds/isthmus.yaml

chart: ## Write what is made from the chart and the resource definitions
	@hack/setup e2e
	@hack/chart

docs: conformance ## Write the pages that are made from the tests
	@ISTHMUS_WRITE=1 $(CARGO) test --quiet --profile quick -p isthmus-tests --test e2e page

conformance: ## Write docs/conformance.md from the tests that name the standards' statements
	@hack/setup run
	@$(CARGO) run --quiet --profile quick -p isthmus-tests --bin isthmus-conformance
