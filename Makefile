# The targets say what they do: `make help`. All that they need is Python 3.11 to 3.14; everything else goes into $(VENV).

VENV ?= .venv
ARGS ?=
WORKERS ?= auto # tests at once, `auto` is one for each core; 0: one by one, for a debugger
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FUZZ := $(VENV)/fuzz

# The first Python on the PATH that is new enough; another one: make test PYTHON=/path/to/python
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c '$(FITS)' 2>/dev/null && echo "$$python" && break; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED = --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet $(ARGS)
COMPILE = $(BIN)/uv pip compile pyproject.toml $(LOCKED)

# What runs in environments of its own. Superset's own packages bound nothing: newer ones than at its release do not fit it.
APART = $(BIN)/uv pip compile --exclude-newer 2026-05-16 $(LOCKED)

# `make bench` exists as soon as there are benchmarks.
BENCHMARKS := $(wildcard benchmarks/__main__.py)
HIDDEN := $(if $(BENCHMARKS),,bench)

.DEFAULT_GOAL := help
.PHONY: help demo dashboards test simulate fuzz mutants integrations lint markers format coverage bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / && $$1 != "$(HIDDEN)" { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## set everything up and watch the main job run: no account, no Docker, no system Postgres
	@$(BIN)/etl demo $(ARGS)

dashboards: $(INSTALLED) ## start Superset over the demo's warehouse, or over yours: CONFIG=config.toml or DATABASE=postgresql://…
	@$(BIN)/python -m dashboards.serve

test: $(INSTALLED) ## set everything up and run all tests (some of them: make test ARGS="tests/unit -k durations")
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

simulate: $(INSTALLED) ## play made-up histories with faults, kills and rivals, and check what must hold: SEEDS=20000 (one: ARGS="--seed 1216")
	@$(BIN)/python -m tests.simulation $(SEEDS) $(ARGS)

mutants: $(INSTALLED) ## put one fault after the other into a copy of the program, and see what notices it (some: ARGS="--only fence")
	@$(BIN)/python -m tests.mutants $(ARGS)

integrations: $(INSTALLED) ## run what needs environments of its own: other pips, Pythons and PostgreSQLs, Superset, dbt, Dagster, Airflow
	@$(BIN)/python -m pytest tests/integrations $(ARGS)

lint: $(INSTALLED) markers ## check style, types, who imports whom, docker-compose.yml, and that no merge was left half done
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

# A part of lint: the lines that git leaves where two versions disagree. `git grep` ends with 1 only if it could look and found none.
markers:
	@git grep -nIE '^(<{7}|\|{7}|={7}|>{7})( |$$)' >&2; test $$? -eq 1 || { \
		echo "No file may hold the markers of a merge that was left half done: keep what is right, remove the markers." >&2; exit 1; }

format: $(INSTALLED) ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The stories in tests/acceptance/ reach more, but measuring them takes far longer; the floor is just below what the rest reaches.
FLOOR := 84
coverage: $(INSTALLED) ## run the tests but the stories, show the lines that none of them reaches, and fail below the floor
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term --cov-fail-under=$(FLOOR) \
		tests --ignore=tests/acceptance $(ARGS)

ifneq ($(BENCHMARKS),)
bench: $(INSTALLED) ## run the benchmarks and print what they measured
	@$(BIN)/python -m benchmarks $(ARGS)
endif

# Atheris has builds for Linux alone, so it is no part of the environment that everybody needs.
fuzz: $(INSTALLED) ## give outside input's readers what nobody would send, for 20 minutes: ARGS="--seconds 60 headers"
	@test -x $(FUZZ)/bin/python || $(BIN)/python -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r tests/fuzzing/atheris.lock
	@PYTHONPATH=".:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		$(FUZZ)/bin/python -m tests.fuzzing $(ARGS)

lock: $(BIN)/uv ## resolve the dependencies again (take newer versions: make lock ARGS=--upgrade)
	@$(COMPILE) -o requirements-runtime.lock
	@$(COMPILE) --group dev -c requirements-runtime.lock -o requirements.lock
	@$(COMPILE) -c requirements-runtime.lock examples/dagster/requirements.in -o examples/dagster/requirements.lock
	@$(COMPILE) -c requirements-runtime.lock examples/airflow/requirements.in -o examples/airflow/requirements.lock
	@$(BIN)/uv pip compile $(LOCKED) tests/fuzzing/atheris.in -o tests/fuzzing/atheris.lock
	@$(APART) dashboards/serve/superset.in -o dashboards/serve/superset.lock
	@$(APART) tests/integrations/dashboards/browser.in -o tests/integrations/dashboards/browser.lock
	@$(APART) tests/integrations/kubernetes/validate.in -o tests/integrations/kubernetes/validate.lock

# An environment that is there serves, also where pyproject.toml names what is in no lock yet.
$(BIN)/uv:
	@$(MAKE) --no-print-directory $(INSTALLED)

clean: ## remove what the other targets made
	@rm -rf $(VENV) .superset .demo build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .mutants.jsonl
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed, and none is on the PATH." \
		"Install one, or name it: make PYTHON=/path/to/python …" >&2; exit 1; }
	@"$(PYTHON)" -c '$(FITS)' || { echo "$(PYTHON) is not Python 3.11 to 3.14." \
		"Name another one: make PYTHON=/path/to/python …" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$("$(PYTHON)" --version) (once; takes a minute) …" >&2
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV) || { echo \
		"$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@
