# The commands of the project. `make` alone lists them. Each does its own set-up, shows progress, and can be run again.
# Logic lives in Python; this file only names what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Slow builds stay here, outside the clone, keyed by version.
export HEADFRAME_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/headframe
export UV_PYTHON_DOWNLOADS := never
# mypy knows files by their content: a new clone is checked in seconds where another one was before.
export MYPY_CACHE_DIR := $(HEADFRAME_CACHE)/mypy
# Hundreds of short Python processes run here; without its byte code each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
UV := $(HEADFRAME_CACHE)/uv/bin/uv
VENV := .venv/.synced
RUN := .venv/bin/

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/; s/\$$\$$/$$/g' | expand -t 18

$(UV): lab/setup/uv.sh
	@bash lab/setup/uv.sh "$@"

$(VENV): $(UV) pyproject.toml uv.lock
	@$(UV) sync --frozen && touch $@

.PHONY: venv
venv: $(VENV) ## the virtual environment, exactly as locked

.PHONY: prerequisites
prerequisites: ## Debian packages that the lab and the tests need (as root), or what is missing
	@bash lab/setup/prerequisites.sh

.PHONY: check
check: $(VENV) ## static checks and the unit tier, under a minute
	@bash lab/setup/timed.sh "format" $(RUN)ruff format --check --quiet .
	@bash lab/setup/timed.sh "lint" $(RUN)ruff check --quiet .
	@bash lab/setup/timed.sh "types" $(RUN)mypy
	@bash lab/setup/timed.sh "imports" $(RUN)lint-imports
	@bash lab/setup/timed.sh "unit tests" $(RUN)pytest -q -n 2 --dist loadfile --durations=0 --durations-min=2 tests/unit

.PHONY: up
up: prerequisites $(VENV) ## a whole fleet on this machine: control host, GPU hosts (simulated), through a real `pulumi up`
	@$(RUN)python -m lab up

.PHONY: down
down: $(VENV) ## take the fleet away: machines, networks, stack; builds stay in the cache
	@$(RUN)python -m lab down

.PHONY: preview
preview: $(VENV) ## what `pulumi up` would change on the lab's stack
	@$(RUN)python -m lab preview

.PHONY: status
status: $(VENV) ## machines, clusters and endpoints of the lab
	@$(RUN)python -m lab status

.PHONY: env
env: $(VENV) ## for a shell: eval "$$(make -s env)"; then pulumi, helm and headframe mean the lab
	@$(RUN)python -m lab env

.PHONY: toolchain
toolchain: $(VENV) ## download or build the lab's programs: pulumi, helm, Kubernetes (minutes, once)
	@$(RUN)python -m lab toolchain

.PHONY: test
test: prerequisites toolchain test-service test-machines coverage test-e2e ## every test, and coverage

# Each tier leaves its coverage in a file of its own, so that they can run beside each other, or again.
measured = @echo "== $(1)"; COVERAGE_FILE=.coverage-$(1) $(RUN)pytest -q --cov --cov-report=
# Whole files over two processes; which of them share something of this machine: tests/support/scheduling.py.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-unit
test-unit: $(VENV) ## tests of functions and objects alone
	$(call measured,unit) -n 1 tests/unit

.PHONY: test-service
test-service: $(VENV) ## tests with real processes: PostgreSQL, Redis, an API server, the engine
	$(call measured,service) $(IN_TWO) --durations=15 tests/service

.PHONY: test-host
test-host: $(VENV) ## tests on systemd machines that they boot, as root
	$(call measured,host) $(IN_TWO) --durations=15 tests/host

.PHONY: test-machines
test-machines: $(VENV) # machines that boot leave the processors idle: unit tests run beside them
	@bash lab/setup/timed.sh "unit tests" $(MAKE) test-unit & unit=$$!; \
		$(MAKE) test-host || host=failed; wait $$unit; [ -z "$${host:-}" ]

.PHONY: test-e2e
test-e2e: $(VENV) ## the whole fleet: what `make up` left, or one of their own; not measured, which would double each update
	@echo "== end to end"; $(RUN)pytest -q --durations=15 tests/e2e

.PHONY: coverage
coverage: $(VENV) ## coverage of every room by unit, service and host tests, as they ran last
	@$(RUN)coverage combine --quiet --keep .coverage-* && $(RUN)python -m tests.support.coverage_gate

.PHONY: test-local
test-local: $(VENV) ## the tests that need no root: unit and service tiers
	@$(RUN)pytest -q tests/unit tests/service

.PHONY: lint-local
lint-local: $(VENV) ## static checks only
	@$(RUN)ruff format --check . && $(RUN)ruff check . && $(RUN)mypy && $(RUN)lint-imports

.PHONY: reformat
reformat: $(VENV) ## format the code and fix what can be fixed
	@$(RUN)ruff format . && $(RUN)ruff check --fix .

.PHONY: bench
bench: $(VENV) ## benchmarks, or one room's: make bench ROOM=api
	@for room in $(or $(ROOM),$(notdir $(patsubst %/__main__.py,%,$(wildcard tests/bench/*/__main__.py)))); do \
		echo "== bench $$room"; $(RUN)python -m tests.bench.$$room; done

.PHONY: cuda-library
cuda-library: $(VENV) ## libogv.so of the GPU proof, from where the next image takes it; needs g++, no GPU
	@$(RUN)python -m graval.cuda.build --uv $(UV)

.PHONY: list-packages
list-packages: $(VENV) ## the packages that become images
	@$(RUN)python -m infra.images list

.PHONY: build
build: $(VENV) ## build one package's image, or all: make build PACKAGE=postgres
	@for package in $(or $(PACKAGE),$$($(RUN)python -m infra.images list)); do \
		$(RUN)python -m infra.images build "$$package" "$$($(RUN)python -m infra.images tag "$$package")"; done

.PHONY: images
images: build ## build every image; what is built already is found by its tag

.PHONY: prune
prune: $(VENV) ## take out of the cache what nobody asked for in 14 days, or: make prune DAYS=3
	@$(RUN)python -m lab prune $(if $(DAYS),--days $(DAYS))

.PHONY: tag
tag: $(VENV) ## the images' references; a tag is the hash of its inputs: make tag PACKAGE=postgres
	@for package in $(or $(PACKAGE),$$($(RUN)python -m infra.images list)); do \
		$(RUN)python -m infra.images tag "$$package"; done

.PHONY: dev
dev: $(VENV) ## the control plane on this machine for development: http://localhost:8080, no root
	@$(RUN)python -m lab.dev

.PHONY: embedded
embedded: $(VENV) ## the whole fleet as plain processes, no root: nodes, pods, GPUs and validator are simulated
	@$(RUN)python -m lab.embedded

.PHONY: ci
ci: ## what the continuous integration runs
	@bash .ci/run
