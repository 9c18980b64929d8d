# make install   a virtual environment with everything in it, and the Debian packages that Triton,
#                Kafka and Annoy need
# make demo      train, start the cluster, play, stop; DATA=PATH for a catalogue of your own,
#                WITH='--kafka --redis --prometheus' for real servers around it
# make test      unit tests, then those with real servers, then hostile callers
# make faults    200 small clusters and 20 whole ones whose processes die, then 100,000 hostile
#                requests, half an hour in all; WITH='--only small --small 1000 --seed 300', --resume
# make loadtest  a minute of load on the cluster that is up, or on one started for it, judged by SLOs;
#                WITH='--shape spike --rate 80' and more in loadtest/README.md
# make lint      style and types
# make audit     known vulnerabilities among what .venv holds; WITH=--required fails without a source
# make protos    generate services/hemline/v1 from protos/
# make clean     remove what the others made, but not .hemline/ with its releases and state

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: install demo test faults loadtest lint audit protos clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit("Python 3.11 is needed, $(PYTHON) is " + sys.version.split()[0] + "; try: make install PYTHON=/path/to/python3.11")'
	@# libpython3.11 is for Triton's Python backend, Java and Maven are for Kafka, a compiler and
	@# Python's headers for Annoy, which has no wheels.
	@missing=(); \
	$(PYTHON) -c 'import ctypes; ctypes.CDLL("libpython3.11.so.1.0")' 2>/dev/null || missing+=(libpython3.11); \
	command -v java >/dev/null || missing+=(default-jre-headless); \
	command -v mvn >/dev/null || missing+=(maven); \
	command -v c++ >/dev/null || missing+=(g++); \
	$(PYTHON) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("include"), "Python.h").stat()' 2>/dev/null || missing+=(python3.11-dev); \
	if (($${#missing[@]})); then \
	  if [[ $$(id -u) == 0 ]]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	  else echo "Triton, Kafka and Annoy need Debian packages: sudo apt-get install $${missing[*]}" >&2; fi; fi
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# Compiled here once; else every process of a first start would do it at the same time.
	$(BIN)/python -c 'import hemline.gateway.recommend, hemline.reranker.rerank, hemline.retrieval.index'
	@touch $@

demo: install
	$(BIN)/hemline demo $(if $(DATA),--data '$(DATA)') $(WITH)

test: install
	$(BIN)/pytest tests/unit
	$(BIN)/pytest tests/integration
	$(BIN)/pytest tests/faults

faults: install
	$(BIN)/python tests/faults/fault_runs.py $(WITH)

loadtest: install
	$(BIN)/python loadtest/run.py $(WITH)

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit: install
	$(BIN)/python deploy/audit.py $(WITH)

protos: install
	$(BIN)/python -m grpc_tools.protoc --proto_path=protos --python_out=services \
	  --pyi_out=services --grpc_python_out=services protos/hemline/v1/*.proto

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find services training tests model_repository loadtest -name __pycache__ -prune -exec rm -rf {} +
