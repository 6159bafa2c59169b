# Two commands for a newcomer: `make demo` and `make test`. Each prepares all it needs and may be run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, len(os.sched_getaffinity(0)) + 1) if hasattr(os, "sched_getaffinity") else 4)')
STAMP := $(VENV)/.installed-$(shell cat requirements.lock requirements-dev.lock pyproject.toml sdk/pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)

.PHONY: demo test check lint types contracts bench soak lock clean

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable ./sdk
	rm -f $(VENV)/.installed-* && touch $@

# The real engine, for the differential test: optional for a newcomer, always there in CI.
$(VENV)/opa: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python --require-hashes -r requirements-opa.lock
	touch $@

demo: $(STAMP)
	$(BIN)/bywire demo

# A process a core and one more, for some tests wait for what they started; each file of tests whole in one of them, so
# that what a file starts for its tests it starts once.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports --config .importlinter

check: lint types contracts test

bench: $(STAMP)
	$(BIN)/python -m bench

# Hours: a process a core, one heavy test after the other. BYWIRE_SOAK_KEPT names a folder for what mutation has judged.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak --numprocesses logical --maxprocesses 4 --dist load --maxschedchunk 1

# Locks carry hashes and no index addresses.
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml requirements-build.in -o requirements-dev.lock

clean:
	rm -rf $(VENV) .demo
