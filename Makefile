# Everything a person needs: make run, make test, make check. Each sets up what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
TESTS ?= tests
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run test bench check format manifest schema lock clean

help: ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp is younger than the lock file exactly when the environment holds what the lock file says.
$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "platform-bot needs Python 3.11 or newer; '$(PYTHON)' is `$(PYTHON) --version 2>&1`. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@command -v git >/dev/null || { echo "platform-bot needs git: install it, then run make again." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

setup: $(VENV)/.installed ## Make the virtual environment from the lock file

run: setup ## Start the bot and a Slack workspace in the browser
	@$(BIN)/python -m playground.try_out --port $(PORT)

test: setup ## Run the whole suite
	@$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

bench: setup ## Measure the bot beside its peers, in under ten minutes
	@$(BIN)/python -m bench $(PARTS)

check: setup ## Format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

format: setup ## Format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

manifest: setup ## Write manifest.yml from the code
	@$(BIN)/python -m bot manifest > manifest.yml

schema: setup ## Write docs/platform.schema.json from the code
	@$(BIN)/python -m bot schema > docs/platform.schema.json

lock: setup ## Resolve pyproject.toml anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock

clean: ## Remove the environment and the data of make run
	rm -rf $(VENV) var
