# Every target sets itself up: a virtual environment in .venv with the exact versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# one thread for each test process: two processes share the cores
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
TEST_MARKS := not gpu and not browser and not thorough
FAST_MARKS := $(TEST_MARKS) and not slow and not dist

.PHONY: demo compare test test-all check format bench clean

demo: $(VENV)/installed
	$(BIN)/lamae demo --out demo

compare: $(VENV)/installed
	$(BIN)/lamae demo --compare --out compare

test: $(VENV)/installed-test
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "$(TEST_MARKS)"

test-all: $(VENV)/installed-test
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(TEST_ENV) $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "$(FAST_MARKS)" tests/unit tests/layers

format: $(VENV)/installed-dev
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) demo compare build src/*.egg-info

# torch first and exactly: an open range could bring another build of several gigabytes
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/torch pyproject.toml
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/installed-dev: $(VENV)/torch pyproject.toml
	$(PIP) --editable '.[dev]'
	touch $@
