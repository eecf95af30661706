# Everything a person does with a checkout. The first start makes .venv from the lock, later ones take it as it is.

VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=
# Tests mostly wait, for servers and clocks: two workers halve that. A file's tests stay together.
WORKERS ?= 2

.PHONY: help up demo test check lint format bench lock wheel clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

up: $(VENV)/.run ## control plane, Edge and a sample PostgreSQL on this machine
	@exec $(VENV)/bin/twokeys up $(ARGS)

demo: $(VENV)/.run ## the whole story, unattended
	@exec $(VENV)/bin/twokeys demo $(ARGS)

test: lint ## every test, the slow ones and the browser too
	@sh requirements/test_needs.sh
	@WORKERS=$(WORKERS) sh tests/run.sh $(PY) $(ARGS)

check: lint ## what every change must pass: lint, types, import rules, fast tests
	$(PY) -m pytest -q -x -m "not slow and not browser" $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy strict, import-linter
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	$(VENV)/bin/lint-imports --no-cache --no-logo

format: $(VENV)/.dev ## let ruff sort imports and lay out
	$(PY) -m ruff check --fix-only -q .
	$(PY) -m ruff format .

bench: $(VENV)/.dev ## the figures
	$(PY) -m bench $(ARGS)

lock: $(VENV)/.dev ## resolve requirements/ anew from pyproject.toml
	sh requirements/lock.sh $(PY)

wheel: $(VENV)/.dev ## build dist/twokeys-*.whl
	$(PY) -m build --no-isolation --wheel --outdir dist .

clean: ## remove what make made, but no state
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.run: requirements/lock.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh $(VENV) requirements/lock.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh $(VENV) requirements/dev.txt
	@touch $@ $(VENV)/.run
