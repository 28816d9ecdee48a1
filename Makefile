# Everything happens in .venv beside this file; nothing outside it is touched, except that `make test` as root
# installs Debian's chromium and postgresql when no browser and no database server are there.

PYTHON ?= python3.11
PORT ?= 8501
MINUTES ?= 10
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The stamps lie inside .venv, so that they go with it; each is written only after a complete installation.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test lint format advisories bench chaos fuzz hostile results schemas clean distclean browser database

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## create .venv and install the dashboard and the `muc` command into it

run: $(INSTALLED) ## serve the dashboard on 127.0.0.1:8501 (PORT= changes it)
	$(BIN)/python -m streamlit run dashboard/server.py --server.address 127.0.0.1 --server.port $(PORT)

# A process for each core with one thread each is faster than one process with all: the tests' encoders are tiny.
test: $(INSTALLED_DEV) browser database ## run every test, the browser tests included (ARGS= goes to pytest)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(INSTALLED_DEV) ## ruff, mypy, the import rules and bandit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml muc_core dashboard

advisories: $(INSTALLED_DEV) ## ask the package index for security advisories on all pins; fails where it serves none
	$(BIN)/python -m tests.advisories

hostile: $(INSTALLED_DEV) ## send a thousand hostile files through every entry point and print what became of them
	rm -rf build/hostile
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.hostile build/hostile

fuzz: $(INSTALLED_DEV) ## give every parser damaged and invented input for MINUTES=10 of computing (ARGS=)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz --minutes $(MINUTES) $(ARGS)

format: $(INSTALLED_DEV) ## mend formatting and import order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED_DEV) ## measure speed and memory against bare loops; prints ratios
	$(BIN)/python -m benchmarks

chaos: $(INSTALLED_DEV) database ## kill, fill up, set clocks and lie, and see that everything is whole or absent (ARGS=)
	$(BIN)/python -m tests.chaos $(ARGS)

results: $(INSTALLED) ## six trials of each method's settings, every method on the demo over seeds, what is missing of it, and docs/results.md (ARGS=)
	$(BIN)/muc bench-methods --search 6 --out docs/results --scratch build/results $(ARGS)
	$(BIN)/muc bench-methods --report docs/results --markdown docs/results.md

schemas: $(INSTALLED) ## write the JSON Schemas of evidence anew, docs/schemas
	$(BIN)/python -m muc_core.evidence.schemas docs/schemas

clean: ## remove caches and build products
	rm -rf build dist test-results *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## the same, and .venv
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "'$(PYTHON)' is not there or is older than Python 3.11." >&2; \
		echo "Install Python 3.11 with venv (Debian: apt-get install python3.11 python3.11-venv)," >&2; \
		echo "or name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed (Debian needs the package python3.11-venv)." >&2; exit 1; }

# .venv/bin/python is a link to an older file: order-only, so that its date does not matter.
$(INSTALLED): requirements.txt constraints.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes some minutes and several GB ..."
	$(PIP) install -r requirements.txt -c constraints.txt -e .
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt requirements-dev-alone.txt $(INSTALLED)
	$(PIP) install --quiet -r requirements-dev.txt -c constraints.txt
	$(PIP) install --quiet --no-deps -r requirements-dev-alone.txt
	@touch $@

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	else \
		echo "The browser tests need chromium or google-chrome on the PATH." >&2; \
		echo "Install one (Debian: apt-get install chromium), then run 'make test' again;" >&2; \
		echo "all other tests: $(BIN)/python -m pytest -m 'not e2e'" >&2; exit 1; \
	fi

# Debian keeps a server's programs off the PATH. The tests start one of their own; the one that the package sets up is left alone.
database:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql; \
	else \
		echo "The tests of the index in PostgreSQL need its programs initdb and pg_ctl." >&2; \
		echo "Install them (Debian: apt-get install postgresql), then run 'make test' again;" >&2; \
		echo "all other tests: $(BIN)/python -m pytest -m 'not postgres'" >&2; exit 1; \
	fi
