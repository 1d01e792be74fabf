# make demo | test | soak | audit | e2e | bench | cold-start | catalog | artifacts | lock | clean
SHELL := /bin/bash

# The newest interpreter that runs and is new enough; a pyenv shim may be on PATH and not run. Override: make PYTHON=...
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$python; break; }; done)

BIN := .venv/bin
PIP := -m pip install --quiet --quiet --disable-pip-version-check
export SAM_CLI_TELEMETRY := 0

.PHONY: demo test soak audit e2e bench cold-start catalog artifacts lock clean
.DELETE_ON_ERROR:

demo: .venv/dev.stamp
	@$(BIN)/pointsman demo $(ARGS)

test: .venv/test.stamp .venvs/sam/stamp .venvs/security/stamp
	@.ci/checks

# The same with ten times as many generated policies, requests and interleavings, and every fault for ten times as long.
# With HOURS=1 instead: the faults for an hour, with ever new seeds.
soak: .venv/test.stamp .venvs/security/stamp
ifdef HOURS
	POINTSMAN_SOAK_HOURS=$(HOURS) $(BIN)/pytest tests/faults/test_cases.py -k hour
else
	POINTSMAN_SOAK=1 $(BIN)/pytest tests/policy_engine/generated tests/api tests/functions/test_two_tenants.py
	POINTSMAN_SOAK=1 $(BIN)/pytest tests/faults/test_cases.py
	POINTSMAN_SOAK=1 $(BIN)/python .ci/api/run
endif

# Needs a network beyond the package registry: the advisories of today.
audit: .venvs/security/stamp
	.venvs/security/bin/python .ci/security --online

# Each script alone prints a table; those that compare with peers say how to install them. The learning benchmarks take long:
# see docs/learning.md.
bench: .venv/test.stamp .venvs/bench-engine/stamp
	@set -e; for script in $(filter-out bench/cold_start.py bench/metering.py bench/scale.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python $$script; done

# Under Lambda's own runtime and its emulator; needs a python3.13.
cold-start: .venvs/sam/stamp
	@python=$$(.ci/python3.13) || { echo "cold-start: not run: needs python3.13"; exit 0; }; \
	$(MAKE) --no-print-directory .venvs/bench-cold-start/stamp PYTHON=$$python && .venvs/bench-cold-start/bin/python bench/cold_start.py

catalog: .venvs/catalog/stamp
	.venvs/catalog/bin/python -m policy_cli.catalog build

# `sam build` and `sam deploy` of the template as it is, into an emulator on the loopback interface; needs a python3.13.
e2e: .venvs/sam/stamp
	@.ci/e2e

# What `sam deploy` would upload, held to its size and built twice; needs a python3.13.
artifacts: .venvs/sam/stamp
	@.ci/artifacts

lock: .venvs/lock/stamp
	@requirements/lock

clean:
	rm -rf .venv .venvs .aws-sam build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- environments: each from its own lock, made again when the lock changes ---------------------------------------------

# The test environment is the demo's and more, so both live in .venv and neither takes anything away.
.venv/dev.stamp: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(call install,.venv,dev)
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: requirements/test.txt .venv/dev.stamp
	$(call install,.venv,test)
	@touch $@

.venvs/%/stamp: requirements/%.txt | .venvs/%/bin/python
	$(call install,.venvs/$*,$*)
	@touch $@

.PRECIOUS: .venvs/%/bin/python
.venv/bin/python:
	@.ci/venv "$(PYTHON)" .venv

.venvs/%/bin/python:
	@.ci/venv "$(PYTHON)" .venvs/$*

# Locks are complete, so nothing is left to resolve; older versions of pip would stumble over extras if they tried.
install = @echo "installing requirements/$(2).txt into $(1)"; \
	$(1)/bin/python $(PIP) --no-deps --require-hashes --requirement requirements/$(2).txt
