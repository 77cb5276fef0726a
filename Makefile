# One environment, .venv, which every target sets up first and skips when it is current.
#   make study ARGS="--seeds 3"      flags for study/run.py
#   make setup PYTHON=python3.12     another interpreter (after `make clean`)
#   make setup PIP_ARGS="--extra-index-url URL"   flags for pip

PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=
PYTHON_IN_VENV := .venv/bin/python
STAMP := .venv/setup-is-current

.DEFAULT_GOAL := help
.PHONY: help setup study notebook browser test test-slow check clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the pinned versions

# The stamp bears the time at which the install began and appears when it has ended well: a failed install leaves none,
# and an edit made meanwhile is seen.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	$(PYTHON) -m venv .venv
	@touch $@.new
	$(PYTHON_IN_VENV) -m pip install $(PIP_ARGS) --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mv $@.new $@

study: setup ## Run the capacity grid; the same command again continues it
	$(PYTHON_IN_VENV) study/run.py --search capacity_grid $(ARGS)

notebook: setup ## Browse the study in Jupyter
	$(PYTHON_IN_VENV) -m pip install $(PIP_ARGS) --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	$(PYTHON_IN_VENV) -m jupyter lab analysis/notebooks

browser: setup ## A browser for the tests of the report page: the system's Chromium, else Playwright's
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	$(PYTHON_IN_VENV) -m playwright install chromium

test: setup browser ## Run the fast tests
	$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile $(ARGS)

test-slow: setup browser ## Run the slow tests
	$(PYTHON_IN_VENV) -m pytest -m slow -n 2 --dist loadfile $(ARGS)

check: setup ## Lint, format and types
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m pyright --pythonpath $(PYTHON_IN_VENV)

clean: ## Remove .venv and caches; studies in results/ stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
