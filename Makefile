# Everything a person does with a checkout. The first start makes .venv from the lock, later ones take it as it is.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
ARGS ?=

.PHONY: help up demo test check lint format bench lock wheel clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

up: $(VENV)/.run ## control plane, Edge and a sample PostgreSQL on this machine
	@exec $(VENV)/bin/twokeys up $(ARGS)

demo: $(VENV)/.run ## the whole story, unattended
	@exec $(VENV)/bin/twokeys demo $(ARGS)

test: lint ## every test, the slow ones and the browser too
	@sh requirements/test_needs.sh
	$(PYTHON) -m pytest -q $(ARGS)

check: lint ## what every change must pass: lint, types, import rules, fast tests
	$(PYTHON) -m pytest -q -x -m "not slow and not browser" $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy strict, import-linter
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy .
	$(VENV)/bin/lint-imports --no-cache --no-logo

format: $(VENV)/.dev ## let ruff sort imports and lay out
	$(PYTHON) -m ruff check --fix-only -q .
	$(PYTHON) -m ruff format .

bench: $(VENV)/.dev ## the figures
	$(PYTHON) -m bench $(ARGS)

lock: $(VENV)/.dev ## resolve requirements/ anew from pyproject.toml
	sh requirements/lock.sh $(PYTHON)

wheel: $(VENV)/.dev ## build dist/twokeys-*.whl
	$(PYTHON) -m build --no-isolation --wheel --outdir dist .

clean: ## remove what make made, but no state
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.run: requirements/lock.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh $(VENV) requirements/lock.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh $(VENV) requirements/dev.txt
	@touch $@ $(VENV)/.run
