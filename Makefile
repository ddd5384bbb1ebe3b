# Needs Python >= 3.10 and make; everything else goes into .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

# One thread per test worker: two workers with a pool each would wait for one another.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# The version before the one in constraints.txt: the tests of files run on it as well.
ORT ?= 1.31.1

# Of random models, and where their results are kept: a run that was stopped goes on.
SEEDS ?= 0-2499
FOUND ?= fuzz-found

PIP_OPTIONS := -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv install demo test lint types unit test-torch test-onnxruntime fuzz bench docs clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(BIN)/python ## Create the virtual environment

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: there is no '$(PYTHON)'; name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), but 3.10 or newer is needed;" \
	    "name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; \
	  exit 1; }

install: $(STAMP) ## Install the project with everything for development

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_OPTIONS) -e '.[dev]'
	@touch $@

demo: install ## Compile trained models to int8 ONNX, run them and print what it cost and gained
	$(BIN)/python benchmarks/demo.py

test: lint types unit ## Check everything: lint, types, tests

lint: install ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install ## Check types
	$(BIN)/mypy

unit: install ## Run the tests
	$(ONE_THREAD) $(BIN)/pytest -n $(WORKERS) --dist worksteal

test-torch: ## Run the tests on another torch: make test-torch TORCH=2.15.0
	@test -n "$(TORCH)" || { echo "error: which torch? make test-torch TORCH=2.15.0"; exit 1; }
	$(MAKE) install VENV=.venv-torch-$(TORCH)
	.venv-torch-$(TORCH)/bin/python -m pip install torch==$(TORCH)
	$(ONE_THREAD) .venv-torch-$(TORCH)/bin/pytest -n $(WORKERS) --dist worksteal

test-onnxruntime: ## Run the tests of files on ONNX Runtime 1.31.1, or on ORT=1.30.0
	$(MAKE) install VENV=.venv-ort-$(ORT)
	.venv-ort-$(ORT)/bin/python -m pip install onnxruntime==$(ORT)
	$(ONE_THREAD) .venv-ort-$(ORT)/bin/pytest -n $(WORKERS) --dist worksteal tests/runtimes tests/targets tests/lowering

fuzz: install ## Compile random models for hours, and compare the files with eager torch
	$(ONE_THREAD) $(BIN)/python -m tests.fuzz --seeds $(SEEDS) --jobs $(WORKERS) --keep $(FOUND) \
	  --out $(FOUND)/table.md --shrink
	$(ONE_THREAD) $(BIN)/python -m tests.fuzz.passes --models 500 --least 20 --keep $(FOUND)/passes.jsonl

bench: install ## Run the benchmarks (see benchmarks/)
	$(BIN)/pip install -q -r benchmarks/requirements-peers.txt
	@for script in benchmarks/bench_*.py; do \
	  test -e "$$script" || continue; echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

docs: install ## Write the generated pages of docs/
	$(BIN)/python -m rewrite.cli.docs > docs/cli.md.tmp && mv docs/cli.md.tmp docs/cli.md

clean: ## Remove the virtual environment and all that was built
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
