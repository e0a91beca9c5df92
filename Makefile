# Two commands do all the set-up on a fresh machine with Python 3.11+ and make:
#   make benchmark   the main job, on the embedded synthetic data
#   make test        the tests
PYTHON ?= python3
DATASET ?= synthetic
SOURCE ?=
JOBS ?= 0
ONLY ?=

BIN := .venv/bin
BATCH ?= notebooks/batches/$(if $(filter synthetic,$(DATASET)),fusion,fusion_$(DATASET)).yaml
# uv installs the same lock faster where it is there.
INSTALL := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install)

.PHONY: benchmark test test-backends bench tune notebooks lint lock setup

benchmark: setup
	$(BIN)/ecglib batch $(BATCH) --jobs $(JOBS) $(if $(SOURCE),--source "$(SOURCE)")

# A process a core, four at the most, as each takes some GB; a file of tests stays in one.
test: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What knows no backend, also on JAX and PyTorch: several GB, in an environment of their own.
test-backends: .venv-backends/ready
	for backend in jax torch; do \
		echo "== $$backend"; \
		KERAS_BACKEND=$$backend JAX_ENABLE_X64=1 CUDA_VISIBLE_DEVICES= .venv-backends/bin/python \
			-m pytest -q tests/representations tests/test_preprocessing.py tests/models || exit 1; \
	done

.venv-backends/ready: requirements.lock pyproject.toml
	test -x .venv-backends/bin/python || $(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install -q -r requirements.lock
	.venv-backends/bin/python -m pip install -q jax torch
	.venv-backends/bin/python -m pip install -q --no-deps -e .
	@touch $@

bench: setup
	$(BIN)/python -m benchmarks $(ONLY)

tune: setup
	$(BIN)/python -m tuning

notebooks: setup
	$(BIN)/jupyter lab notebooks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify notebooks/*.ipynb

# Resolves the newest versions again; the lock carries versions and hashes, no addresses.
lock: setup
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header -q --upgrade -o requirements.lock

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		(echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=python3.11 ..."; exit 1)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -q -r requirements.lock
	$(INSTALL) -q --no-deps -e .
	@touch $@
