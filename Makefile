# make demo    load the sample, edit it, undo, look at it     make lint    ruff, mypy, cython-lint
# make test    the tests (no root, no services)               make bench   figures beside other engines
# make soak    the long versions of the tests                 make clean   forget what was built
# make sanitize   kernels and decoders under AddressSanitizer and UBSan      make fuzz   a fuzzer that sees coverage

SHELL := /bin/bash
.DEFAULT_GOAL := help

# A Python of 3.11 or newer; PYTHON=... names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
KERNELS := $(wildcard src/labelog/kernels/*.pyx src/labelog/kernels/*.pxd)
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest

.PHONY: help tools demo test test-services test-clients test-root test-debug sanitize fuzz soak lint bench clean

help:
	@sed -n 's/^# //p' Makefile | head -n 4

# What only the system can provide, named if it is missing.
tools:
	@missing=(); \
	command -v git >/dev/null || missing+=(git); \
	command -v cc >/dev/null || missing+=(gcc); \
	if [ -z "$(PYTHON)" ]; then missing+=("python3 (3.11 or newer)" python3-venv python3-dev); else \
	  $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv); \
	  $(PYTHON) -c 'import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' \
	    || missing+=(python3-dev); \
	fi; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "missing: $${missing[*]}"; \
	  echo "on Debian or Ubuntu: sudo apt-get install git gcc libc6-dev python3 python3-venv python3-dev"; exit 1; fi

$(BIN)/python: | tools
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

# Built and installed in place: Python files count as they are, kernels are built again when they change.
$(VENV)/built: $(BIN)/python pyproject.toml setup.py $(KERNELS)
	@echo "building labelog"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

# What an extra needs, beside it.
$(VENV)/%.installed: $(VENV)/built
	@echo "installing what '$*' needs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'labelog[$*]'
	@touch $@

# A program whose demands do not go with those of the others.
$(VENV)/napari: $(BIN)/python
	@echo "installing napari"
	@$(BIN)/python -m venv $@
	@$@/bin/python -m pip install --quiet --disable-pip-version-check "napari>=0.9,<1" "napari-ome-zarr>=0.10,<1" PyQt6 aiohttp || \
	  { rm -rf $@; exit 1; }

# What setup.py imports, for builds beside the installed one.
$(VENV)/build.ready: $(VENV)/test.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "cython>=3.1,<4" "blosc2>=4.0,<5" "setuptools>=77"
	@touch $@

demo: $(VENV)/all.installed
	@$(BIN)/python examples/demo.py

test: $(VENV)/test.installed
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "not root and not services and not clients" -q

# The server, with clients of many kinds, some for long; with Node.js and npm all of them.
test-services: $(VENV)/test.installed
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "services and not clients" -q

# Programs that never heard of labelog read and write a served volume; they take a while to install.
test-clients: $(VENV)/clients.installed $(VENV)/napari
	$(PYTEST) -n $(WORKERS) --dist worksteal -m clients -q

# The tests that mount a small file system.
test-root: $(VENV)/test.installed
	$(PYTEST) -m root -q

# The tests against kernels with bounds and overflow checks.
test-debug: $(VENV)/build.ready
	LABELOG_DEBUG=1 $(BIN)/python setup.py -q build --build-base build/debug --build-lib build/debug/lib
	PYTHONPATH=build/debug/lib $(PYTEST) -n $(WORKERS) --dist worksteal -m "not root and not clients" -q \
	  tests/kernels tests/test_degenerate.py tests/test_history.py tests/test_volume.py tests/test_indexing.py

# The kernels' tests and the decoders' mutants, watched by AddressSanitizer and UBSan.
sanitize: $(VENV)/build.ready
	LABELOG_SANITIZE=address,undefined $(BIN)/python setup.py -q build --build-base build/sanitize \
	  --build-lib build/sanitize/lib
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	  PYTHONPATH=build/sanitize/lib:server $(PYTEST) -n $(WORKERS) -q \
	  tests/kernels tests/fuzz tests/test_degenerate.py

# libFuzzer on each decoder, for FUZZ_SECONDS; what it finds is left in build/fuzz.
FUZZ_SECONDS ?= 300
fuzz: $(VENV)/build.ready $(VENV)/fuzz.installed
	@command -v clang clang-14 >/dev/null || { echo "it needs clang and its runtime; on Debian: sudo apt-get install clang libclang-rt-dev"; exit 1; }
	CC="$$(command -v clang || command -v clang-14)" LDSHARED="$$(command -v clang || command -v clang-14) -shared" \
	  LABELOG_SANITIZE=address,fuzzer-no-link $(BIN)/python setup.py -q build --build-base build/fuzz \
	  --build-lib build/fuzz/lib
	for kind in chunk delta counts; do \
	  LD_PRELOAD="$$($(BIN)/python -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=build/fuzz/lib:server \
	    $(BIN)/python tests/fuzz/guided.py $$kind build/fuzz/corpus/$$kind -max_total_time=$(FUZZ_SECONDS) -max_len=65536 \
	    -rss_limit_mb=2048 -artifact_prefix=build/fuzz/$$kind- || exit 1; done

soak: $(VENV)/test.installed
	LABELOG_SOAK=1 $(PYTEST) -n $(WORKERS) --dist worksteal -m "not root and not clients" -q
	$(MAKE) sanitize fuzz

lint: $(VENV)/lint.installed $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src/labelog/kernels

bench: $(VENV)/bench.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build demo src/labelog.egg-info
	find src -name '*.so' -delete
