# `make` lists the targets. Everything runs in .venv, or in the active conda environment if there is one.

PROFILE ?= laptop
READING ?=
SET ?=
GRID ?= data/grids/example.yaml
PYTHON3 ?= python3

# A conda environment other than base is used as it is; anything else gets .venv.
CONDA := $(if $(filter-out base,$(CONDA_DEFAULT_ENV)),$(CONDA_PREFIX))
VENV := $(if $(CONDA),$(CONDA),.venv)
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.clm-clustering-ready

# Many containers set it, and then each process would compile anew whatever set-up has not.
unexport PYTHONDONTWRITEBYTECODE

export SET
CHOSEN = $(if $(READING),reading=$(READING) )$$SET

# For targets whose settings stand in a grid file: an option that would be ignored is refused.
TAKES_NO = $(foreach name,$(1),$(if $(filter command,$(origin $(name))),$(error make $@ takes no $(name): write it into a grid file, as data/grids shows)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help reproduce test test-architectures lint lab bench gpu probe sweep verdict readings report figures readme clean setup lock

help: ## list the targets
	@echo "make <target> [PROFILE=smoke|laptop|paper] [READING=gpt2|torch|fitted] [SET=\"name=value ...\"]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 22
	@echo
	@echo "PROFILE is now $(PROFILE). Examples:"
	@echo "  make reproduce                          # the paper's main model on this machine"
	@echo "  make reproduce PROFILE=smoke            # every code path, in minutes"
	@echo "  make reproduce SET=\"seed=7 training.learning_rate=3e-4\""

setup: $(READY) ## create .venv from requirements.lock (the other targets do it themselves)

# Installed once for each content of the lock file; an interrupted installation is repeated.
$(READY): requirements.lock install.py
	@$(if $(CONDA),,test -x $(PYTHON) || $(PYTHON3) -m venv $(VENV) || { echo "$(PYTHON3) -m venv failed: install Python 3.11 or newer with venv (Debian: python3-venv), or name another: make PYTHON3=python3.12" >&2; rm -rf $(VENV); exit 1; })
	@$(PYTHON) install.py
	@touch $@

reproduce: $(READY) ## the main job: notebooks, tables and figures of PROFILE (TOGETHER=1: one notebook at a time)
	@$(PYTHON) -m helpers.running.reproduce --profile "$(PROFILE)" --set "$(CHOSEN)" $(if $(TOGETHER),--together $(TOGETHER))

test: $(READY) ## lint, and run all tests
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	@$(PYTHON) -m nbstripout --verify --keep-id notebooks/*.ipynb
	@$(PYTHON) -m pytest

test-architectures: $(READY) ## the probe on every causal architecture of transformers (minutes) -> docs/architectures.md
	@rm -rf .pytest_cache/architectures
	@$(PYTHON) -m pytest -m architectures --dist load tests/pretrained/test_architectures.py && $(PYTHON) tests/architectures.py

lint: $(READY) ## format code and notebooks, and mend what can be mended
	@$(PYTHON) -m ruff check --fix . ; $(PYTHON) -m ruff format . ; $(PYTHON) -m nbstripout --keep-id notebooks/*.ipynb

lab: $(READY) ## open JupyterLab on the notebooks (localhost, with a token)
	@$(PYTHON) -m jupyter lab --notebook-dir=notebooks

probe: $(READY) ## cluster the states of MODEL (hub id, folder or .gguf file; default: offline) on 16 natural tasks
	@$(PYTHON) -m helpers.pretrained.cli $(if $(MODEL),"$(MODEL)") $(ARGS)

sweep: $(READY) ## train and analyse every run of a GRID file, on this machine or on a SCHEDULER
	$(call TAKES_NO,PROFILE READING SET)
	@$(PYTHON) -m helpers.running.sweep "$(GRID)" $(if $(SCHEDULER),--scheduler "$(SCHEDULER)") $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

verdict: $(READY) ## more seeds, other widths and variants for the verdict (days on 2 cores; resumable; make gpu does much of it)
	$(call TAKES_NO,READING SET)
	@$(PYTHON) -m helpers.running.verdict_grids --profile "$(PROFILE)" $(if $(SCHEDULER),--scheduler "$(SCHEDULER)") $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

readings: $(READY) ## which reading of what the paper leaves open fits it best (hours on 2 cores; resumable)
	$(call TAKES_NO,READING SET)
	@$(PYTHON) -m helpers.running.readings --profile "$(PROFILE)" $(if $(SCHEDULER),--scheduler "$(SCHEDULER)") $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

report: $(READY) ## data/<profile>/report.html from the tables and figures that are there
	@$(PYTHON) -m helpers.verdict.report --profile "$(PROFILE)" --set "$(CHOSEN)"

figures: $(READY) ## draw figures/<profile> again from the tables that are there
	@$(PYTHON) -m helpers.verdict.redraw --profile "$(PROFILE)" --set "$(CHOSEN)"

readme: $(READY) ## README.md's results, docs/results.md and their figures, from committed tables
	@$(PYTHON) -m helpers.verdict.readme

bench: $(READY) ## speed and memory against named baselines, and how fast the explorer answers -> data/laptop/tables
	@$(PYTHON) -m helpers.benchmarks.speed
	@$(PYTHON) tests/explorer/latency.py

gpu: $(READY) ## 25 minutes of a CUDA GPU: checks, bench, the verdict's runs, one archive (ARGS="--minutes 25")
	$(call TAKES_NO,PROFILE READING SET)
	@$(PYTHON) -m helpers.running.gpu $(ARGS)

clean: ## remove what was generated, trained runs included (days, after make verdict); committed tables and figures stay
	rm -rf data/datasets data/runs data/models data/probes data/sweeps data/*/logs data/paper/notebooks data/smoke data/*--* figures/smoke figures/explorer figures/*--*
	rm -f data/*/report.html data/laptop/notebooks/*.json data/laptop/notebooks/*.failed.ipynb data/laptop/notebooks/*.running.ipynb

lock: $(READY) ## renew requirements.lock from pyproject.toml
	@$(PYTHON) install.py --lock
