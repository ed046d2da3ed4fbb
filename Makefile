# `make help` lists the targets. Set-up is `scripts/setup.py`; everything runs from `.venv`.

PYTHON ?= python3
BIN := .venv/bin
CODE := src tests scripts demo $(wildcard bench)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-system weights python demo test check bench soak pin clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=python3.12 chooses the Python (3.11 or newer)"

python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "no '$(PYTHON)' here: install Python 3.11 or newer, or name it: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) scripts/require_python.py

setup-system: python ## install the Debian packages that are missing, or name them
	@$(PYTHON) scripts/system.py

setup: setup-system ## make .venv: the pinned requirements and the package
	@$(PYTHON) scripts/setup.py

setup-dev: python ## make .venv with the development tools too
	@$(PYTHON) scripts/system.py --dev
	@$(PYTHON) scripts/setup.py --dev

weights: setup ## fetch the embedded model's weights (93 MB) to .cache
	@CRUSH_GLOBAL_DATA=$(CURDIR)/.cache $(BIN)/crush models install local

demo: weights ## a question for the embedded model, then a repair by the agent
	@$(BIN)/python demo/run.py

test: weights check ## what CI runs: set-up, every check, every test (5 minutes)
	@$(BIN)/python -m pytest --quiet --numprocesses 2 -m "not soak"

check: setup-dev ## formatting, lint, import contracts, sizes, types
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/check_size.py
	@$(BIN)/mypy

bench: setup-dev ## measure against the budgets
	@$(BIN)/python -m bench

soak: setup-dev ## the tests that take longer than a test may
	@$(BIN)/python -m pytest --quiet -m soak --timeout 1800

pin: setup-dev ## pin the newest versions of all requirements, with hashes
	@$(BIN)/python scripts/pin.py

clean: ## remove .venv and everything that was made
	@rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
