# `make demo` and `make test` set everything up in .venv, each alone on a fresh machine.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OUT ?= out
SORTED ?= $(OUT)-sorted
PHOTOS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test lint check docs bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) (some minutes the first time)"
	$(PIP) -e .
	@$(BIN)/python -W ignore -c "import umap" # its first import compiles for a quarter of a minute
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) with what the tests need (some minutes the first time)"
	$(PIP) "torch==2.13.0"
	$(PIP) -e ".[dev,cluster,fast,texts,timm,transformers]"
	@.ci/system-packages
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@if [ -n "$(PHOTOS)" ]; then echo "photos: $(PHOTOS)"; else $(BIN)/python examples/fetch_photos.py data/photos; fi
	$(BIN)/shoal run quickstart "$(or $(PHOTOS),data/photos)" --out $(OUT)
	$(BIN)/shoal organize $(OUT) --to $(SORTED) --yes
	@echo
	@echo "report:          $$($(BIN)/shoal report $(OUT))"
	@echo "organised files: $(SORTED)/   (shoal undo $(SORTED) takes them back)"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shoal.docs --check

test: lint
	$(BIN)/python -m pytest -m "not slow" -q
	$(BIN)/python -m pytest -m slow -q

docs: $(VENV)/.installed-dev
	$(BIN)/python -m shoal.pipeline.schema > configs/pipeline.schema.json
	$(BIN)/python -m shoal.docs

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) $(OUT) $(SORTED) data
