# Everything runs in ./.venv; nothing needs to be activated.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/setup.stamp
# The build finds ninja here, and clang-format is called from here.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Two processes, each of which takes whole files in their order.
PYTEST := $(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=25

.PHONY: setup train test test-slow lint bench clean

setup: $(STAMP)

$(STAMP): setup.py pyproject.toml constraints.txt $(shell find csrc -type f -not -name '*.pyc')
	test -x $(BIN)/pip || { \
	  $(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("needs Python >= 3.10: make setup PYTHON=python3.12")' \
	  && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --constraint constraints.txt "setuptools>=77" ninja torch
	$(BIN)/python -m pip install --constraint constraints.txt --no-build-isolation --editable ".[slt,dev]"
	touch $@

train: setup
	$(BIN)/python scripts/train.py --recipe quickstart

# What a change can break.
test: setup
	$(PYTEST) -m "not slow"

# Products of many sizes.
test-slow: setup
	$(PYTEST) -m slow

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	find csrc tests -name "*.cpp" -o -name "*.h" -o -name "*.cu*" | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/python -m mypy

bench: setup
	$(BIN)/python -m pytest benchmarks --benchmark-only

# Keeps the virtual environment and your runs; the next command builds the extension again.
clean:
	rm -rf build dist *.egg-info slt_fast/_C*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis $(STAMP)
	find . -name .venv -prune -o -name __pycache__ -prune -exec rm -rf {} +
