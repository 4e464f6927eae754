PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := demo

.PHONY: help demo test check pytest quick gpu setup lock tables clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: setup  ## the main job on the embedded model: profile, select, bench
	$(BIN)/pixart-tui demo --output-dir build/demo

# Either one's failure is this one's.
test: setup  ## what CI runs: check and all tests, side by side
	$(MAKE) --jobs=2 --keep-going check pytest

check: setup  ## style, types and the rules of who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: setup  ## all tests that need no GPU; the slowest are listed
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40

# The tests of the dashboard that start no dashboard.
QUICK_TUI = $(shell grep -rL "run_test\|pilot\|tmux\|snap_compare\|Popen" tests/tui --include="test_*.py")

quick: setup  ## the tests of the inner loop: rules, files of runs, the dashboard's parts
	$(BIN)/pytest -n 2 --dist loadfile tests/domain tests/runs $(QUICK_TUI)

gpu: setup  ## the tests that need a CUDA GPU
	$(BIN)/pytest -m gpu

setup: $(INSTALLED)

# torch first and alone: an exact version keeps pip from looking for a larger build.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,onediff]'
	touch $@

lock:  ## write constraints.txt from what is installed
	(sed -n '1p' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//') > constraints.new
	mv constraints.new constraints.txt

tables: setup  ## write the tables of the README from benchmarks/results, and docs/commands.md
	$(BIN)/python -m benchmarks.readme_tables
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m pixart_tui.cli.reference

clean:  ## delete .venv and build
	rm -rf $(VENV) build
