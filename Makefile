# `make help` lists what there is. Set-up happens by itself, from wheels, into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ROOMS := access configs demo evaluation foundation indexer pipelines search
SELDOM_STARTED := pandas|mypy|pip|setuptools|pymongo|_pytest|cryptography|onnx|examples|tests?|testing|ml|dataframe
SOURCES := $(ROOMS) afterfact.py setup.py tests benchmarks docs
AFTERFACT_DATA ?= ../shared/data
export AFTERFACT_DATA

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-kill flink test-flink lint format types docs docs-check bench bench-budget accuracy \
        bench-access bench-flink bench-probes bench-scale bench-search simulate-stragglers pins clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-20s %s\n", $$1, $$2}'

setup: $(READY) ## Set up .venv from wheels (under a minute)

# --no-deps: the pins are complete, and face_recognition's own metadata asks for a dlib that compiles for minutes.
# Bytecode is compiled here, for what a command starts, because some machines forbid it later: without it
# a search takes four seconds instead of one.
$(READY): requirements/pins.txt requirements/tools.txt setup.py pyproject.toml
	@echo "Setting up $(VENV) with $(PYTHON) (from wheels, nothing is compiled from C++)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/tools.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements/pins.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 -x '/($(SELDOM_STARTED))/' $(VENV)/lib $(ROOMS) afterfact.py
	@touch $(READY)

demo: $(READY) ## Take the guided tour: draw an archive, index, search, a moratorium, verify
	$(BIN)/afterfact demo tour demo-home

test: $(READY) ## Run the tests on every core (real photos from AFTERFACT_DATA, skipped where absent)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test-kill: $(READY) ## Run the slow tests: many kills, many runs at once
	$(BIN)/python -m pytest tests/slow

# FLINK_HOME names the Flink to start; without it, and where there is a Java to run it, one is fetched from PyPI into
# an environment of its own: its own dependencies pin an old Beam.
FLINK := .flink/.ready
FLINK_NEEDED := $(if $(FLINK_HOME),,$(if $(shell command -v java),$(FLINK)))

flink: $(FLINK) ## Fetch the Flink of the tests into .flink (250 MB), for where FLINK_HOME is not set

$(FLINK): requirements/flink.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .flink
	$(BIN)/uv pip install --quiet --python .flink/bin/python --no-deps -r requirements/flink.txt
	chmod +x .flink/lib/python3*/site-packages/pyflink/bin/*.sh
	@touch $(FLINK)

# AFTERFACT_JOB_SERVER: the job server's jar, or a command that takes Flink's address and a port. ONLY: which tests.
test-flink: $(READY) $(FLINK_NEEDED) ## Run the job on a real Flink of this machine: N=2000 photos (needs Java)
	N=$(N) $(BIN)/python -m pytest tests/flink $(if $(ONLY),-k "$(ONLY)")

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(READY) ## Format the sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(READY) ## Check types in every room
	$(BIN)/mypy
	$(BIN)/mypy afterfact.py

docs: $(READY) ## Write docs/cli.md from --help
	$(BIN)/python docs/write_cli.py docs/cli.md

docs-check: $(READY) ## Fail where docs/cli.md is not what --help says
	$(BIN)/python docs/write_cli.py --check docs/cli.md

bench: $(READY) ## Measure against face_recognition: photos a second, memory, search cold and warm
	$(BIN)/python benchmarks/bench.py

bench-budget: $(READY) ## Measure where a photo's time goes, part by part, on one core
	$(BIN)/python benchmarks/budget.py

accuracy: $(READY) ## Measure error rates on AFTERFACT_DATA and write docs/accuracy.md (PAIRS=20 a fold for a try; long)
	$(BIN)/python benchmarks/accuracy.py "$(AFTERFACT_DATA)" "$(or $(PAGE),docs/accuracy.md)" $(PAIRS)

bench-access: $(READY) ## Measure a decision with its ledger entry, and verification, at N entries (N=1000000)
	$(BIN)/python benchmarks/access_bench.py $(N)

bench-flink: $(READY) $(FLINK_NEEDED) ## Measure Flink with two one-core workers against the local runner: N=4000 photos (needs Java)
	$(BIN)/python benchmarks/flink_bench.py $(N)

bench-probes: $(READY) ## Measure many probes in one search: N=1000 probes, FACES=300000 in the gallery
	$(BIN)/python benchmarks/many_probes.py $(or $(N),1000) $(or $(FACES),300000)

# SCALE_FOLDER: where the archive is kept between runs; RESULTS: where figures and plots go.
bench-scale: $(READY) ## Measure the whole job over N distinct photos (N=300000), its memory, and the runs after it
	$(BIN)/python benchmarks/scale.py $(N)

bench-search: $(READY) ## Measure exact search at SIZES faces (SIZES="300000 3000000 20000000", the last takes 10 GB)
	$(BIN)/python benchmarks/search_scale.py $(SIZES)

simulate-stragglers: $(READY) ## Simulate what slow and lost hosts cost a run of 100,000,000 photos (a minute)
	$(BIN)/python benchmarks/stragglers.py

pins: ## Compile requirements/pins.txt anew from setup.py
	$(BIN)/uv pip compile --quiet setup.py --extra test --python-version 3.11 --override requirements/overrides.txt \
	    --no-emit-index-url --no-header --no-annotate --upgrade -o requirements/pins.txt

clean: ## Remove .venv, the fetched Flink and what the tour made
	rm -rf $(VENV) .flink demo-home
