# Kintsugi's commands. `make` alone lists them. Everything goes into .venv/ and workspace/; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/quickstart.yaml
JOBS ?= 2 # tests side by side; each brings servers and trainings of its own
EVERYTHING := .[dev,server]
AUDITORS := pip-audit==2.10.1 cyclonedx-bom==7.5.0

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# pip says two lines per package; of these only the downloads over 10 MB tell a person why it takes long.
define pip-install
$(BIN)/python -m pip install --progress-bar off -c infra/constraints.txt $(1) \
  | { grep --line-buffered -E '^ *Downloading .*\(([0-9]{2,}\.[0-9] MB|[0-9.]+ GB)\)' || true; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo install install-dev install-team team-up team-down team-status team-test test unit drill s3-drill fuzz matrix gpu lint types style ranges format fields bench audit clean
.DELETE_ON_ERROR:

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: install ## Install, then shard, train, evaluate, promote and report on a small set of pictures (CONFIG=...)
	$(BIN)/kintsugi run $(CONFIG)

install: $(VENV)/.installed ## Install Kintsugi into .venv

install-dev: $(VENV)/.installed-dev ## Install Kintsugi and what its tests need into .venv

install-team: $(VENV)/.installed-team ## Install Kintsugi and what the team's servers need into .venv

team-up: install-team ## Bring up the team's servers (PostgreSQL, S3, MLflow, Prefect, worker, serve) and wait until they answer
	$(BIN)/python -m infra.team up

team-down: install-team ## Stop the team's servers, the worker first; data stays
	$(BIN)/python -m infra.team down

team-test: install-dev ## Try the team's servers, nights on them, and every fault: power cuts, servers away, full disks
	$(BIN)/python -m pytest tests/team -m "server or team"

team-status: install-team ## Say how the team's servers stand
	$(BIN)/python -m infra.team status

test: install-dev lint ## Everything: lint, types, import rules, the whole test suite
	@bash infra/ensure_chromium.sh
	$(BIN)/python -m pytest --numprocesses $(JOBS) --no-loadscope-reorder --durations=15

unit: install-dev ## The fast tests only: no servers, no browser, no long runs
	$(BIN)/python -m pytest -m "not slow and not distributed and not flow and not server and not browser and not smoke and not team"

drill: install-dev ## Kill trainings at a hundred random instants; each must end in the bytes of an untouched one
	$(BIN)/python tests/distributed/drill.py --kills 100

s3-drill: install-dev ## Work against an object store that misbehaves until 100,000 requests went wrong; nothing may be lost
	$(BIN)/python tests/team/s3_drill.py --faults 100000

fuzz: install-dev ## Prepare a million damaged files; none may crash, hang or cost much (FUZZ="--inputs 100000 --seed 7")
	$(BIN)/python tests/hostile/fuzz.py $(FUZZ)

matrix: install-dev ## Take every network from its config to a served model: 1 and 2 processes, fp32 and bf16, stopped and resumed
	$(BIN)/python tests/end_to_end/model_matrix.py

gpu: ## Measure training on this machine's graphics card in 8 minutes, without a network (tests/gpu/README.md)
	$(PYTHON) tests/gpu/run.py

lint: install-dev ## Style, formatting, types, import rules, ranges of libraries
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types style ranges # types alone take a core for a minute

types: install-dev
	$(BIN)/mypy

style: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

ranges: install-dev $(VENV)/ranges/.imported ## Import everything against the oldest and the newest libraries of pyproject.toml

format: install-dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fields: install ## Write configs/FIELDS.md and components/events/EVENTS.md, the tables of all fields, from the classes
	$(BIN)/python -m components.config.fields > $(VENV)/FIELDS.md
	mv $(VENV)/FIELDS.md configs/FIELDS.md
	$(BIN)/python -m components.events.schema > $(VENV)/EVENTS.md
	mv $(VENV)/EVENTS.md components/events/EVENTS.md

bench: $(VENV)/peers/.installed ## Measure speed against other libraries; best on an idle machine (BENCH="--only loading --rounds 9")
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/run.py --peers $(VENV)/peers $(BENCH)

audit: $(VENV)/audit/.installed ## Check pins, write a bill of materials, ask for known vulnerabilities (exit code 4: nobody answered)
	$(BIN)/python infra/audit.py --tools $(VENV)/audit/bin --out workspace/audit || { code=$$?; echo "audit: exit code $$code"; exit $$code; }

clean: ## Remove the virtual environment and the tools' caches; results in workspace/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11 or newer, or say which: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Kintsugi needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say which to use: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Making a virtual environment in $(VENV)/ with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed: pyproject.toml infra/constraints.txt | $(VENV)/bin/python
	@echo "Installing Kintsugi and the exact versions of infra/constraints.txt; the first time downloads some gigabytes (PyTorch)"
	@$(call pip-install,-e .)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests and linters need"
	@$(call pip-install,-e '.[dev]')
	@touch $@

$(VENV)/ranges/.imported: pyproject.toml infra/ranges.py $(shell find components flows -name '*.py') | $(VENV)/.installed-dev
	@$(BIN)/python infra/ranges.py --out $(VENV)/ranges
	@touch $@

$(VENV)/audit/.installed: $(VENV)/.installed-dev
	@echo "Installing every extra, and the auditors apart from Kintsugi's own libraries"
	@$(call pip-install,-e '$(EVERYTHING)')
	@$(BIN)/python -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet $(AUDITORS)
	@touch $@

$(VENV)/.installed-team: $(VENV)/.installed
	@echo "Installing what the team's servers need"
	@$(call pip-install,-e '.[server]')
	@touch $@

$(VENV)/peers/.installed: tests/benchmarks/peers.txt | $(VENV)/.installed
	@echo "Installing the libraries that are measured against, apart from Kintsugi's own"
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/peers -r tests/benchmarks/peers.txt
	@touch $@
