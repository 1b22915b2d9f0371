# make demo | test | lint | bench | trainer: each makes what it needs in .venv, and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base-installed
TEST := $(VENV)/.test-installed
TRAINER := $(VENV)/.trainer-installed

.PHONY: demo test lint bench trainer stress test-slurm clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; choose another with make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)

$(BASE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(TEST): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(BASE) $(TRAINER)

$(TRAINER): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[trainer]'
	@touch $@ $(BASE)

trainer: $(TRAINER)
	$(BIN)/trainer --help

demo: $(BASE)
	$(BIN)/datagen demo

test: $(TEST)
	$(BIN)/python -m pytest

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(TEST)
	@for b in benchmarks/[a-z]*.py; do n=$$(basename $$b .py); echo "== $$n"; $(BIN)/python -m benchmarks.$$n || exit 1; done

stress: $(TEST)
	$(BIN)/python -m pytest -m stress --timeout 3600

test-slurm: $(TEST)
	$(BIN)/python -m pytest -m slurm --timeout 1200 -rs

clean:
	rm -rf $(VENV) build dist
