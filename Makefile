# `make run` and `make test` are all a newcomer needs; both install what is missing first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BACKBONES := build/backbones
BACKBONES_INSTALLED := $(BACKBONES)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run dev mlflow tensorboard test lint types imports unit backbones pipeline bench crash screenshots lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 22

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Remedy: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED) ## create .venv from the lock file

run: $(INSTALLED) ## retrain both universes on the bundled real bars
	$(BIN)/toto-ops retrain

dev: $(INSTALLED) ## Dagster UI on http://127.0.0.1:3000
	$(BIN)/toto-ops dev

mlflow: $(INSTALLED) ## MLflow UI on http://127.0.0.1:5000
	$(BIN)/toto-ops mlflow

tensorboard: $(INSTALLED) ## TensorBoard on http://127.0.0.1:6006
	$(BIN)/toto-ops tensorboard

test: lint types imports unit backbones pipeline ## lint, types, import contracts and every test

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

unit: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n 2

# Toto asks for Python 3.12 and an older pandas without needing either: an environment of its own, laid over .venv, which stays
# as it is. Its packages come without the dependencies they name; the lock file has those that are really imported.
$(BACKBONES_INSTALLED): $(INSTALLED) requirements-backbones.lock
	rm -rf $(BACKBONES) && $(BIN)/python -m venv --without-pip $(BACKBONES)
	$(BIN)/python -m pip --python $(BACKBONES)/bin/python install --quiet --disable-pip-version-check \
	  --no-deps --ignore-requires-python -r requirements-backbones.lock
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  "$$($(BACKBONES)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth"
	@touch $@

backbones: $(BACKBONES_INSTALLED) ## tests of Toto and Chronos through their packages, in an environment of their own
	OMP_NUM_THREADS=1 $(BACKBONES)/bin/python -m pytest tests/backbones

pipeline: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/pipeline tests/reliability

bench: $(INSTALLED) ## speed and memory, beside peers measured in the same run
	@# gym-trading-env pins a Flask and a ccxt years old for its renderer: only the environment itself is wanted here.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'gym-trading-env==0.3.5'
	$(BIN)/python tests/benchmarks/bench_features.py
	$(BIN)/python tests/benchmarks/bench_evaluation.py
	$(BIN)/python tests/benchmarks/bench_simulation.py
	$(BIN)/python tests/benchmarks/bench_forecasting.py
	$(BIN)/python tests/benchmarks/bench_operations.py
	$(BIN)/python tests/benchmarks/bench_retention.py

crash: $(INSTALLED) ## kill retrainings at random moments; the figures go into docs/reliability.md with REPORT=docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.crash --kills 24 $(if $(REPORT),--report $(REPORT))

screenshots: $(INSTALLED) ## walk both interfaces in a headless Chromium and take the pictures of docs/images
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'playwright>=1.50'
	$(BIN)/python -m tests.ui.walk

lock: ## rebuild requirements.lock from pyproject.toml in a fresh environment
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	build/lock/bin/python -m pip install --quiet 'torch==2.13.0' '.[dev,bench]'
	{ echo '# Made by `make lock`. torch is pinned: a newer one would bring its CUDA packages along.'; \
	  build/lock/bin/python -m pip freeze --all --exclude toto-ops --exclude pip | sed 's/+cpu$$//'; } > requirements.lock
	rm -rf build/lock build/lib build/bdist.*

clean: ## remove the environment and caches; what is stored in .toto stays
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
