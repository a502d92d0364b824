# make sweep   the main job on the embedded data: environment, sweep, report
# make test    every test but those marked slow, in the same environment
# make lint    ruff and mypy
# make faults  of these, every kind of fault on a real Slurm, a short soak, and the broken builds
# make soak    sweeps under a seeded nemesis: make soak FAULTS=500 SEED=1
# make data    render an IRMAS-like folder of wav files into outputs/data/rendered

PYTHON ?= python3
VENV := .venv
FAULTS ?= 500
SEED ?= 1
BIN := $(VENV)/bin

.PHONY: env sweep test lint faults soak data test-env clean

env: $(VENV)/.base
test-env: $(VENV)/.test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

sweep: env
	$(BIN)/python jobs/train.py -m experiment=task11

test: test-env
	PYTHON=$(BIN)/python sh tests/run

lint: test-env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: test-env
	$(BIN)/python -m pytest tests/faults -n 2 --dist loadgroup

soak: test-env
	$(BIN)/python benchmarks/soak.py --faults $(FAULTS) --seed $(SEED)

data: test-env
	$(BIN)/python -m hpc_sweep.tasks.instruments.render outputs/data/rendered

clean:
	rm -rf $(VENV) *.egg-info
