PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test setup lock tables clean

demo: setup  ## the main job on the embedded model: profile, select, bench
	$(BIN)/pixart-tui demo --output-dir build/demo

test: setup  ## what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

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

clean:
	rm -rf $(VENV) build
