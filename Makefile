# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo test faults spark lint clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) found, Python 3.11 or newer expected. Fix: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/recsys run pipelines/demo.toml

# One thread per worker, unless the caller says how many.
test: export OMP_NUM_THREADS ?= 1
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Many kills, contests, full disks and random files: about half an hour. .ci/run makes fewer.
faults: export OMP_NUM_THREADS ?= 1
faults: $(STAMP)
	FAULTS=many $(BIN)/python -m pytest -n 2 --dist worksteal -m faults

# The same features by Spark and by DuckDB. PySpark is large (450 MB), so it is installed only here; Java 17 or 21 must be there.
spark: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[spark]"
	$(BIN)/python -m pytest -m spark

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find data -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
