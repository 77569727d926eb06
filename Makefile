# Every target brings .venv up to date first; with nothing to do, that costs nothing.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev

# Threads of torch that wait do not spin: on a busy machine spinning costs several times the work.
export OMP_WAIT_POLICY := PASSIVE
# Nothing below reports usage to anyone.
export DO_NOT_TRACK := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench clean

help:  ## List the targets
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / {printf "  make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: export HF_HUB_OFFLINE := 1
demo: $(CORE)  ## Make feedback data with the embedded model (ARGS='--help' shows its options)
	@$(BIN)/burnish demo $(ARGS)

test: $(DEV)  ## Run the tests (ARGS='-k name' picks some)
	@$(BIN)/pytest -q $(ARGS)

check: $(DEV)  ## Check format, lint, types and who imports whom
	@$(BIN)/ruff format --check --output-format concise
	@$(BIN)/ruff check --output-format concise
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV)  ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench:  ## List the benchmarks
	@for file in benchmarks/[a-z]*.py; do [ ! -e "$$file" ] || \
	  printf '  %s/python %-32s %s\n' $(BIN) "$$file" "$$(sed -n '1s/^"""\(.*[^"]\)"*$$/\1/p' "$$file")"; done

clean:  ## Remove .venv, caches and builds
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find schemas synth flows tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# While pip works, .unfinished names the make at work. One that is gone was cut short and may have left half a package
# behind: begin again.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Burnish needs Python 3.11 or later;\
 '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not found). Name another: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
@if kill -0 $$(cat $(VENV)/.unfinished 2>/dev/null) 2>/dev/null; then \
  echo "Another make (process $$(cat $(VENV)/.unfinished)) is setting up $(VENV): wait for it, or remove $(VENV)" >&2; exit 1; fi
@if [ ! -x $(BIN)/python ] || [ -e $(VENV)/.unfinished ]; then rm -rf $(VENV) && mkdir $(VENV); fi
@rm -f $@; echo $$PPID > $(VENV)/.unfinished
@[ -x $(BIN)/python ] || { echo "Making $(VENV)" && $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -qq --upgrade pip; }
@echo "Installing $(1) into $(VENV)"
@$(BIN)/python -m pip install -qq -c constraints.txt -e '$(1)'
@rm $(VENV)/.unfinished; touch $@
endef

$(CORE): pyproject.toml constraints.txt
	$(call install,.)

$(DEV): $(CORE)
	$(call install,.[dev])
