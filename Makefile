# The only task runner. `make help` lists the targets; everything else is an `aegis` command.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
# PYTHON=/path/to/python3.x chooses another interpreter than the one deploy/find-python picks.
PYTHON ?= $(shell deploy/find-python)
C_SOURCES := $(wildcard native_ext/*.c native_ext/*.h)
C_FORMATTED := $(C_SOURCES) $(wildcard $(foreach folder,tests/native tests/native/* bench/native \
  bench/native/*,$(folder)/*.c $(folder)/*.h $(folder)/*.cpp $(folder)/*.hpp))
NATIVE := $(C_SOURCES) $(wildcard native_ext/*.pyx native_ext/*.pxd) setup.py
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# WHY: this editable mode adds one line to a .pth file; the default one installs an import hook that
# costs every process about 9 ms at its start (python -X importtime, two shared cores).
EDITABLE := --config-settings editable_mode=compat --editable .
PYTEST := $(BIN)/python -m pytest
# Workers of the suite. One of them has the tests that start engines and mostly waits (tests/conftest.py).
WORKERS_OF_TESTS := --numprocesses $(shell echo $$(($$(nproc) + 1))) --maxprocesses 5
SLOW_SAMPLE := 8
# What can be run as a program, but what reads results.
BENCHES = $(filter-out compare fault_table growth_plot plots tables waterfall_picture,$(patsubst bench/%.py,%,$(shell grep -l '^if __name__ ==' bench/*.py)))
CAPTURES := $(wildcard ../shared/data/hftbacktest/usdm_*.gz)

# make run TAPE=folder-or-file SPEED=10 FOR=60 LOOP=1 GENERATE=20 SEED=7 EXCHANGE=url JSON=1 ARGS="..."
TAPE ?= $(if $(GENERATE)$(EXCHANGE),,$(CAPTURES))
RUN_ARGS = $(if $(TAPE),--tape $(TAPE)) $(if $(GENERATE),--generate $(GENERATE)) \
  $(if $(SEED),--seed $(SEED)) $(if $(SPEED),--speed $(SPEED)) $(if $(LOOP),--loop) \
  $(if $(EXCHANGE),--exchange $(EXCHANGE)) $(if $(FOR),--for $(FOR)) $(if $(JSON),--json) $(ARGS)

.PHONY: help setup native fmt lint type test test-long fuzz check bench bench-check run clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/project  ## create .venv, install the locked packages, compile the extension

native: $(STAMPS)/native  ## recompile the C extension when one of its sources changed

fmt: $(STAMPS)/dev  ## rewrite the sources in the house format
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .
	@$(BIN)/clang-format -i $(C_FORMATTED)

lint: $(STAMPS)/dev  ## ruff, spelling, import contracts, C format
	@$(BIN)/ruff format --check --output-format concise . && $(BIN)/ruff check --output-format concise . && $(BIN)/codespell && $(BIN)/lint-imports
	@$(BIN)/clang-format --dry-run --Werror $(C_FORMATTED)

type: $(STAMPS)/dev $(STAMPS)/native  ## mypy: strict for engine and ringbuffer
	@$(BIN)/mypy

check: lint type  ## every static check, and tests/architecture
	@$(PYTEST) tests/architecture

test: check  ## check, then the fast tests (CI=true adds a bounded sample of the slow ones)
	@$(PYTEST) $(WORKERS_OF_TESTS) --ignore=tests/architecture $(if $(filter true,$(CI)),--slow-sample=$(SLOW_SAMPLE))

test-long: check  ## every test, the slow ones too
	@$(PYTEST) $(WORKERS_OF_TESTS) --ignore=tests/architecture -m ""

fuzz: $(STAMPS)/dev $(STAMPS)/native  ## hostile bytes into the decoders, COUNT= executions (long; needs clang)
	@$(BIN)/python tests/native/run_fuzz.py --count $(or $(COUNT),100000000) --workers $(or $(WORKERS),1) $(if $(JSON),--json $(JSON))

bench: $(STAMPS)/bench  ## run every bench; JSON goes to bench/results
	@for name in $(BENCHES); do echo "== $$name" && $(BIN)/python -m bench.$$name --json bench/results/$$name.json; done

bench-check: $(STAMPS)/bench  ## compare fresh ratios with the recorded ones; fails when one is 10 % worse
	@$(BIN)/python -m bench.compare

run: $(STAMPS)/project $(STAMPS)/native $(STAMPS)/bytecode  ## trade practice money: TAPE= SPEED= FOR= LOOP=1 GENERATE= SEED= EXCHANGE= JSON=1
	@exec $(BIN)/aegis run $(strip $(RUN_ARGS))

clean:  ## remove what was built, .venv too
	rm -rf $(VENV) build *.egg-info native_ext/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@deploy/find-python --check "$(PYTHON)"
	@echo "setup: creating $(VENV) with $(PYTHON)" && "$(PYTHON)" -m venv $(VENV) && mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements.lock | $(STAMPS)/venv
	@echo "setup: installing the runtime packages of requirements.lock (a minute or two the first time)"
	@$(PIP) --require-hashes -r $< && touch $@

$(STAMPS)/dev: requirements-dev.lock | $(STAMPS)/project
	@echo "setup: installing the development packages of requirements-dev.lock"
	@$(PIP) --require-hashes -r $< && touch $@

$(STAMPS)/bench: $(STAMPS)/dev $(STAMPS)/native
	@mkdir -p bench/results && touch $@

$(STAMPS)/project: pyproject.toml setup.py engine/version.py $(STAMPS)/runtime
	@echo "setup: compiling the extension and installing the aegis command"
	@PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation $(EDITABLE) && touch $@ $(STAMPS)/native

# WHY: a process that finds no byte code compiles every module it imports, at every start; the
# interpreter's own library may come without it. What cannot be written is left as it is.
$(STAMPS)/bytecode: $(STAMPS)/runtime | $(STAMPS)/project
	@$(BIN)/python -m compileall -q -j 0 engine ringbuffer native_ext exchange || true
	@$(BIN)/python -m compileall -q -x 'test|idlelib|lib2to3|site-packages' \
	  $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["stdlib"])') >/dev/null || true
	@touch $@

$(STAMPS)/native: $(NATIVE) | $(STAMPS)/project
	@echo "native: compiling" && $(BIN)/python setup.py --quiet build_ext --inplace --force && touch $@
