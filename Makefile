# Two commands are the whole set-up: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes
BENCH := ../shared/bench
BENCH_VENV := .venv-bench
PEERS_VENV := .venv-peers
PEERS := tests/benchmarks/requirements-peers.txt
DATA ?= ../shared/data
BASELINE := $(DATA)/baseline.py
BASELINE_PACKAGES := bm25s==0.3.16 PyStemmer==3.1.0 wordllama==0.4.0.post1 numpy==2.4.6
EVAL_VENV := .venv-eval
ROUNDS ?= 3
CRASHES ?= 100
.DEFAULT_GOAL := help
.PHONY: help install run run-local dev test test-fast test-slow test-crash screenshots lint format bench bench-compare bench-peers bench-peers-run eval fit-confidence lock clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.linked: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt | $(VENV)/.installed
	$(PIP) -r requirements-dev.txt
	@touch $@

# What the tests use besides Python, see the script. Not marked as done while something is missing: it is tried again.
$(VENV)/.installed-tools: tests/install_tools.sh tests/browser/package-lock.json | $(VENV)/.installed
	@if sh tests/install_tools.sh $(BIN); then touch $@; fi

install: $(VENV)/.installed $(VENV)/.linked ## Make .venv with the locked requirements

run: install ## Migrate and serve on 127.0.0.1:8000
	exec $(BIN)/askgraph serve

dev: install ## Serve, and serve anew when a file changes
	RELOAD=true LOG_FORMAT=console exec $(BIN)/askgraph serve

run-local: install ## Serve with a model on this machine: GGUF=path, else SmolLM2
	$(BIN)/python -c 'import xllamacpp' 2>/dev/null || $(BIN)/python -m pip install --quiet -r requirements-local.txt
	exec $(BIN)/python -m infrastructure.providers.local_server $(GGUF) --with $(BIN)/askgraph serve

test: install $(VENV)/.installed-dev $(VENV)/.installed-tools lint ## Lint, types, import rules, all tests, coverage floor
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --cov --cov-report=term:skip-covered

test-fast: install $(VENV)/.installed-dev $(VENV)/.installed-tools ## Tests without the slow ones
	$(BIN)/python -m pytest -m "not model and not slow" -n auto --dist loadfile -x -q

test-slow: install $(VENV)/.installed-dev ## What `make test` leaves out: more restarts, password forms, far ends, load
	$(BIN)/python -m pytest -m slow -q

test-crash: install $(VENV)/.installed-dev ## Kill the service under load a hundred times on each database; nothing may be lost
	CRASHES=$(CRASHES) $(BIN)/python -m pytest -q -s tests/e2e/test_crash.py

screenshots: install $(VENV)/.installed-dev $(VENV)/.installed-tools ## Take the guides' pictures anew, into docs/images
	$(BIN)/python -m tests.browser.screenshots

lint: install $(VENV)/.installed-dev ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

$(BENCH_VENV)/.installed: $(BENCH)/requirements.txt
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(BENCH)/requirements.txt
	@touch $@

bench: install $(VENV)/.installed-dev ## Measure throughput and latency against the floor and the template (docs/performance.md)
	@if test -d $(BENCH); then $(MAKE) --no-print-directory bench-compare; else echo "no $(BENCH): the comparison is left out"; fi
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.conversations

bench-compare: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python $(BENCH)/compare.py --rounds $(ROUNDS) --server "$(MAKE) -C $(CURDIR) run" --port 8000

$(PEERS_VENV)/.installed: $(PEERS)
	test -x $(PEERS_VENV)/bin/python || $(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $(PEERS)
	@touch $@

bench-peers: ## Measure /v1 beside LiteLLM's proxy, which gets a venv of its own (docs/performance.md)
	@if test -d $(BENCH); then $(MAKE) --no-print-directory bench-peers-run; else echo "no $(BENCH): nothing is measured"; fi

bench-peers-run: install $(VENV)/.installed-dev $(PEERS_VENV)/.installed
	$(BIN)/python -m tests.benchmarks.peers --bench $(BENCH) --peer $(PEERS_VENV)/bin/litellm --rounds $(ROUNDS)

$(EVAL_VENV)/.installed:
	test -x $(EVAL_VENV)/bin/python || $(PYTHON) -m venv $(EVAL_VENV)
	$(EVAL_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(BASELINE_PACKAGES)
	@touch $@

eval: install $(VENV)/.installed-dev ## Measure retrieval, answers, citations, confidence; FOLDER=… your own, EMBEDDING=… another
	@if test -f $(BASELINE); then $(MAKE) --no-print-directory $(EVAL_VENV)/.installed; else echo "no $(BASELINE): left out"; fi
	$(BIN)/python -m tests.evaluation $(or $(FOLDER),$(DATA) --curated --plots docs/images) \
		$(if $(EMBEDDING),--embedding $(EMBEDDING)) --baseline $(BASELINE) --baseline-python $(EVAL_VENV)/bin/python

fit-confidence: install $(VENV)/.installed-dev ## Fit services/knowledge/confidence.json anew on the data below DATA
	$(BIN)/python -m tests.evaluation.fit_confidence $(DATA) $(if $(EMBEDDING),--embedding $(EMBEDDING))

lock: ## Lock the requirements anew, with hashes (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --extra build -o requirements.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --extra build --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

clean: ## Remove what was installed, built and cached; data/ stays
	rm -rf $(VENV) $(BENCH_VENV) $(PEERS_VENV) $(EVAL_VENV) tests/browser/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find cache -mindepth 1 ! -name .gitkeep -delete
