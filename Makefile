# Two commands set everything up on a fresh machine with Python 3.11 to 3.13 and make:
#   make benchmark   the main job, on the embedded synthetic data
#   make test        the tests
PYTHON ?= python3
DATASET ?= synthetic_evidence
SOURCE ?=
JOBS ?= 0
ONLY ?=

BIN := .venv/bin
# The batch file of each dataset: evidence, fusion, or fusion_<dataset>.
BATCH_synthetic_evidence := evidence
BATCH_synthetic := fusion
BATCH ?= notebooks/batches/$(or $(BATCH_$(DATASET)),fusion_$(DATASET)).yaml
# uv installs the same lock file faster, if it is installed.
INSTALL := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install)

.PHONY: benchmark test test-fast test-backends fuzz docs bench verdict-check kill-check tune notebooks lint lock setup

benchmark: setup
	$(BIN)/ecglib batch $(BATCH) --jobs $(JOBS) $(if $(SOURCE),--source "$(SOURCE)")

# One process per core, at most four because each takes some GB, and one thread in each: processes
# that all use all cores slow each other down by half. A test file stays in one process, so that its
# fixtures are built once, and files begin in the order of tests/conftest.py: slow ones first.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST)

# Without the tests marked slow: under three minutes on two cores.
test-fast: setup
	$(PYTEST) -m "not slow"

# The tests that read damaged bytes, with more cases than `make test` tries.
CASES ?= 5000
fuzz: setup
	ECG_FUZZ_CASES=$(CASES) $(PYTEST) -m fuzz

# The backend-independent tests on JAX and PyTorch, with Captum as the reference of explanations:
# several GB, in a separate environment. JAX compiles for minutes in some of them.
test-backends: .venv-backends/ready
	for backend in jax torch; do \
		echo "== $$backend"; \
		KERAS_BACKEND=$$backend JAX_ENABLE_X64=1 CUDA_VISIBLE_DEVICES= .venv-backends/bin/python \
			-m pytest -q --timeout 3600 tests/representations tests/preprocessing tests/models \
			tests/explain tests/training/test_trainer.py || exit 1; \
	done
	.venv-backends/bin/python -m pytest -q tests/training/test_backends.py

.venv-backends/ready: requirements.lock pyproject.toml
	test -x .venv-backends/bin/python || $(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install -q -r requirements.lock
	.venv-backends/bin/python -m pip install -q torch
	.venv-backends/bin/python -m pip install -q --no-deps captum
	.venv-backends/bin/python -m pip install -q --no-deps -e .
	@touch $@

# The site, in docs/site; warnings are errors.
docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/site

bench: setup
	$(BIN)/python -m benchmarks $(ONLY)

# The error rates of verdicts, by simulation: about 15 minutes on two cores.
verdict-check: setup
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.verdict_check

# Kills a batch of forty runs at random moments, and compares its bits with an undisturbed one.
kill-check: setup
	$(BIN)/python -m benchmarks.kill_check --dataset $(or $(filter-out synthetic_evidence,$(DATASET)),synthetic) $(if $(SOURCE),--source "$(SOURCE)")

tune: setup
	$(BIN)/python -m tuning

notebooks: setup
	$(BIN)/jupyter lab notebooks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/nbstripout --verify notebooks/*.ipynb

# Upgrades every pinned version. The lock file has versions and hashes, no addresses.
lock: setup
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header -q --upgrade -o requirements.lock

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		(echo "$(PYTHON) is $$($(PYTHON) -V), and TensorFlow has packages for Python 3.11 to 3.13:" \
			"install one of these and name it, as in make PYTHON=python3.13 test"; exit 1)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -q -r requirements.lock
	$(INSTALL) -q --no-deps -e .
	@touch $@
