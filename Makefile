# make demo | test | lint | bench | trainer | docs | dist | page | pretrained: each makes what it needs in .venv, and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base-installed
TEST := $(VENV)/.test-installed
TRAINER := $(VENV)/.trainer-installed

.PHONY: demo test lint bench trainer docs dist page stress test-slurm test-clusters pretrained clean

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
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory docs

# The site, in build/site; a broken link, or a page without its place in mkdocs.yml, is an error.
docs: $(TEST)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# The source archive, and the wheel made from it.
dist: $(TEST)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m pytest tests/frame/test_distribution.py

# The page of `datagen browse`, from its sources in page/; needs node and npm. Nothing else does: the result is committed.
page:
	cd page && npm ci --no-audit --no-fund && npm run build

bench: $(TEST)
	@for b in benchmarks/[a-z]*.py; do n=$$(basename $$b .py); echo "== $$n"; $(BIN)/python -m benchmarks.$$n || exit 1; done

stress: $(TEST)
	$(BIN)/python -m pytest -m stress --timeout 3600

test-slurm: $(TEST)
	$(BIN)/python -m pytest -m slurm --timeout 1200 -rs

# Runs on SLURM with four nodes, Open MPI, MPICH and Grid Engine, as far as they are installed. On Debian, as root:
# apt-get install slurm-wlm munge openmpi-bin mpich gridengine-master gridengine-exec gridengine-client
test-clusters: $(TEST)
	$(BIN)/python -m pytest -m clusters --timeout 1800 -rs

# The weights of the package: reflections of structures and of generated crystals to d = 1 A, then QMixer by the clock;
# resumes. On a GPU: MINUTES=9.35 QMIXER='--batch-size 2048 --learning-rate 2.5e-3 --compile'; docs/qmixer.md.
MINUTES ?= 195
QMIXER ?=
REFLECTIONS := { base = "alphadiffract", two_theta_min_deg = 2.0, two_theta_max_deg = 36.5, n_points = 64, polarisation = 0.99 }
REFLECTIONS_ONLY := --set 'simulation.instrument=$(REFLECTIONS)' --set simulation.augmentation.preset=realistic --set simulation.augmentation.count=1 --set store.xrd_peaks=none
pretrained: $(TEST)
	@test -n "$(STRUCTURES)" || { echo 'make pretrained STRUCTURES=structures.parquet: a table with a column "cif", an archive or a folder'; exit 2; }
	mkdir -p runs/qmixer
	printf '[[catalog]]\nkind = "generated"\ncount = 14000\nseed = 0\n' > runs/qmixer/generated.toml
	$(BIN)/datagen run $(STRUCTURES) --out runs/qmixer/structures.zarr $(REFLECTIONS_ONLY)
	$(BIN)/datagen run runs/qmixer/generated.toml --out runs/qmixer/generated.zarr $(REFLECTIONS_ONLY)
	$(BIN)/trainer fit qmixer runs/qmixer/structures.zarr --generated runs/qmixer/generated.zarr --out runs/qmixer --size large --minutes $(MINUTES) $(QMIXER) $$(test -e runs/qmixer/last.pt && echo --resume)

clean:
	rm -rf $(VENV) build dist
