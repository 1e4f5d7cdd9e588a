# Everything runs in .venv, which is made on first use: only python3 (3.11 or newer) is needed.
#
#   make demo     train a network on real digits, check its gradients, draw its graph
#   make test     lint, types and tests: what CI runs
#   make bench    speed and memory next to PyTorch, autograd and MyGrad
#   make docs     write docs/ops.md and docs/layers.md anew from rules and docstrings
#   make examples   run every example over all its seeds (writes docs/systems*.md, docs/systems/)
#   make gallery  draw the pictures and pages of docs/gallery.md anew
#   make kill-rate   break every rule on purpose: does check_op notice? (writes docs/kill_rate.md)
#   make format   put the code into the project's format
#   make clean    remove everything that can be made again

PYTHON ?= python3
DEMO_FLAGS ?=
EXAMPLES_FLAGS ?=
PYTEST_FLAGS ?=
KILL_RATE_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint docs examples gallery kill-rate format bench clean
.DEFAULT_GOAL := help
# One pip at a time: two of them in one environment would step on each other's files.
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n '/^$$/q; s/^#   //p' Makefile

demo: $(VENV)/demo.stamp
	$(BIN)/tinygrad-edu demo $(DEMO_FLAGS)

test: lint
	$(BIN)/python -m pytest --numprocesses auto --cov --cov-report=term $(PYTEST_FLAGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev.stamp
	$(BIN)/python docs/make_ops.py
	$(BIN)/python docs/make_layers.py

# Minutes on two cores. EXAMPLES_FLAGS=--quick takes one seed at reduced size, and prints only;
# EXAMPLES_FLAGS=--pictures draws the pictures only.
examples: $(VENV)/demo.stamp
	OPENBLAS_NUM_THREADS=1 $(BIN)/python examples/run_all.py $(EXAMPLES_FLAGS)

gallery: $(VENV)/dev.stamp
	$(BIN)/python examples/gallery.py

# About twenty minutes on two cores. KILL_RATE_FLAGS=--quick takes every 20th mutant, and prints only.
kill-rate: $(VENV)/dev.stamp
	$(BIN)/python tests/kill_rate.py $(KILL_RATE_FLAGS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# On Linux, PyPI's torch brings gigabytes of CUDA libraries. For the CPU build, run this before:
#   make .venv/created.stamp
#   .venv/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.layouts

clean:
	rm -rf $(VENV) build dist htmlcov demo-output examples-output .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/created.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tinygrad_edu needs Python 3.11 or newer, and $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Each target adds its extras to the same environment, and never takes any away: `make test` and
# `make demo` may follow one another in any order. A stamp records that the extras are there.
$(VENV)/demo.stamp: EXTRAS = plot,progress,check
$(VENV)/dev.stamp: EXTRAS = dev
$(VENV)/bench.stamp: EXTRAS = bench
$(VENV)/demo.stamp $(VENV)/dev.stamp $(VENV)/bench.stamp: pyproject.toml | $(VENV)/created.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
