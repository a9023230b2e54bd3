# pydfsnode. `make help` lists the targets; each one makes what it needs, from a clean clone on a
# fresh Debian with Python 3.11 or newer, gcc and make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_VENV := .venv-proto
PROTO_TOOLS := grpcio-tools==1.76.0 mypy-protobuf==3.7.0 'setuptools<81'
PB := pydfsnode/rpc/pb
SCHEMAS := $(PB)/dfs.proto $(PB)/ttrpc.proto
OUT := build/output
FAST := pydfsnode/_fast
CFLAGS_STUB := -O2 -std=gnu11 -Wall -Wextra -Werror -static
# Scripts beside the package that are typed and linted like it.
SCRIPTS := build/pack.py docs/build.py deploy/demo bench/compare.py bench/macro
TESTED := $(wildcard tests/unit tests/property tests/fast tests/conformance tests/tidy)
# A test that hangs ends the run with every thread's stack instead of a silent pipeline.
HANG_SECONDS := 240
PYTEST := $(BIN)/python -m pytest \
    -o faulthandler_timeout=$(HANG_SECONDS) -o faulthandler_exit_on_timeout=true

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help build tools proto certs demo test check fix sim integration integration-short bench
.PHONY: bench-compare bench-baseline
.PHONY: binary fuzz docs clean mutants

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- the environment and the extensions

tools:
	@$(PYTHON) build/prerequisites.py

# One tree has one environment. It is updated, never rebuilt: remove $(VENV) for a new one.
$(VENV)/.stamp: pyproject.toml setup.py | tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

FAST_SOURCES := $(wildcard $(FAST)/*.pyx $(FAST)/*.pxd $(FAST)/*.pxi $(FAST)/*.h $(FAST)/*_kernel.c)
$(VENV)/.fast-stamp: $(VENV)/.stamp $(FAST_SOURCES)
	$(BIN)/python setup.py -q build_ext --inplace
	touch $@

build: $(VENV)/.fast-stamp ## the virtual environment, and the Cython extensions in place

# What `make integration` reads and writes tables with: large, so not in the extra dev.
$(VENV)/.datatools-stamp: $(VENV)/.stamp
	$(BIN)/python -c 'import tomllib; extras = \
	    tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	    print(*extras["datatools"], sep="\n")' | $(BIN)/pip install --quiet -r /dev/stdin
	touch $@

# ---------------------------------------------------------------- generated code

$(PROTO_VENV)/.stamp: | tools
	$(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/pip install --quiet $(PROTO_TOOLS)
	touch $@

# $(call generate,DIRECTORY): from the root, so that imports read `from pydfsnode.rpc.pb import`.
# Pinned to the lowest supported tools: generated code demands libraries no older than they are.
define generate
	PATH="$$PWD/$(PROTO_VENV)/bin:$$PATH" $(PROTO_VENV)/bin/python -m grpc_tools.protoc -I . \
	    --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) $(SCHEMAS) && \
	    rm -f $(1)/$(PB)/ttrpc_pb2_grpc.py
endef

proto: $(PROTO_VENV)/.stamp ## regenerate pydfsnode/rpc/pb from the schemas
	$(call generate,.)

# ---------------------------------------------------------------- quality

check: build $(PROTO_VENV)/.stamp ## the gate, writes nothing: format, lint, types, layers, tidy
	$(BIN)/ruff format --check --quiet . || { echo "run 'make fix'"; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy --strict $(SCRIPTS)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mypy.stubtest --ignore-missing-stub \
	    $(patsubst $(FAST)/%.pyx,pydfsnode._fast.%,$(wildcard $(FAST)/*.pyx))
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(call generate,"$$fresh") && \
	diff -ru --exclude='*.proto' --exclude=__init__.py --exclude=__pycache__ "$$fresh/$(PB)" $(PB) || \
	    { echo "generated code is not fresh: run 'make proto'"; exit 1; }
	$(BIN)/python docs/build.py --check
	$(PYTEST) tests/tidy

fix: build ## format and fix sources: the only target that rewrites them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: build ## unit, property, fast, conformance and tidy tests
	$(PYTEST) $(TESTED) --durations=5

N ?= 300
sim: build ## simulated clusters: make sim N=200, or one: make sim SEED=17
	PYDFSNODE_SIM_SEEDS=$(N) $(if $(SEED),PYDFSNODE_SIM_SEED=$(SEED)) $(PYTEST) tests/sim

mutants: build ## bugs planted in a copy of the code, and who finds each: make mutants ARGS=--quick
	$(BIN)/python -m tests.mutants.run $(ARGS)

integration: build $(VENV)/.datatools-stamp ## real processes of the executable
	$(PYTEST) tests/integration -m 'not binary'

# What `.ci/run` leaves to `make integration`, to stay within half an hour: what needs root or large
# packages, and procedures whose parts have tests of their own.
LONG := test_data_disks.py test_library_fsspec.py test_library_tools.py test_certs_rotation.py \
    test_key_rotation.py test_security_docs.py test_forgotten_file.py
integration-short: build ## the same without the longest
	$(PYTEST) tests/integration -m 'not binary' $(LONG:%=--ignore=tests/integration/%)

MINUTES ?= 1
fuzz: build ## hostile bytes at random, and as long guided by coverage: make fuzz MINUTES=10
	PYDFSNODE_FUZZ_MINUTES=$(MINUTES) $(PYTEST) -o faulthandler_timeout=0 tests/fuzz

# ---------------------------------------------------------------- figures

MICRO = $(PYTEST) bench/micro --benchmark-only --benchmark-max-time=0.5

bench: build ## micro benchmarks, then `pydfsnode bench` on a fresh local cluster
	$(MICRO) --benchmark-columns=min,median,ops
	$(BIN)/python bench/macro/run.py $(BENCH_ARGS)

bench-compare: build ## micro benchmarks as ratios to bench/baseline.json; fails for no speed
	run=$$(mktemp); trap 'rm -f "$$run"' EXIT; \
	$(MICRO) --benchmark-quiet --benchmark-json="$$run" && $(BIN)/python bench/compare.py "$$run"

bench-baseline: build ## micro benchmarks into bench/baseline.json; on a quiet machine
	run=$$(mktemp); trap 'rm -f "$$run"' EXIT; \
	$(MICRO) --benchmark-quiet --benchmark-json="$$run" && \
	    $(BIN)/python bench/compare.py "$$run" --store

# ---------------------------------------------------------------- what people run

certs/ca.crt: | build
	$(BIN)/pydfsnode certs init --dir certs --plan certs/development.toml

certs: certs/ca.crt ## a development CA and its certificates in certs/ (ignored by git)

demo: build ## a real cluster stores and returns real files while nodes are killed
	$(BIN)/python deploy/demo/demo.py $(ARGS)

# The file exists only whole; its parts stay in $(OUT).
$(OUT)/stub: $(wildcard build/stub/*.c build/stub/*.h)
	mkdir -p $(OUT)
	gcc $(CFLAGS_STUB) -o $@ $(wildcard build/stub/*.c)
	strip $@

dist/pydfsnode: build $(OUT)/stub
	$(BIN)/pyinstaller build/pydfsnode.spec --noconfirm --log-level WARN \
	    --workpath $(OUT)/work --distpath $(OUT)/tree
	$(BIN)/python build/pack.py --stub $(OUT)/stub --tree $(OUT)/tree/pydfsnode --out $@

binary: dist/pydfsnode ## one self-contained file dist/pydfsnode, and its test in an empty directory
	$(PYTEST) tests/integration/test_binary.py -m binary -s

docs: build ## README, ARCHITECTURE and docs/ as HTML in site/; fails on a broken link
	$(BIN)/python docs/build.py

clean: ## remove outputs (not the virtual environments)
	rm -rf $(OUT) dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf .hypothesis .benchmarks
	rm -f $(FAST)/*.so $(VENV)/.fast-stamp
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
