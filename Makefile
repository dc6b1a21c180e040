# Two commands do everything: `make demo` and `make test`. Both set up what they need in .venv first.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# The suite's servers and browser: installed where we may (root on Debian or Ubuntu), else found or gone without.
APT_PACKAGES := mosquitto mosquitto-clients redis-server chromium

.PHONY: demo test check setup servers bench format clean help
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed  ## a simulated town on embedded servers, and its dashboard (no root, no apt)
	@$(BIN)/geo-service demo $(ARGS)

test: servers $(VENV)/.installed-dev check  ## everything: style, types, imports, then every test
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.installed-dev  ## style, types and the direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev  ## put the code into its style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.installed  ## one benchmark: make bench ARGS="presence --quick"
	@$(BIN)/geo-service bench $(ARGS)

servers:  # quietly: what cannot be installed is reported by the tests that go without it
	@scripts/install-servers $(APT_PACKAGES)

setup: $(VENV)/.installed-dev  ## the development environment

$(VENV)/.installed: pyproject.toml constraints.txt
	@scripts/make-venv $(VENV) $(PYTHON)
	@echo "installing geo-service (a minute the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:  ## drop the environment, caches and the demo's data
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
