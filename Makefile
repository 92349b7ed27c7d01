# `make help` lists the targets. Everything lands in .uv/ and .venv/ of this folder.
SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .uv/$(UV_VERSION)/bin/uv
BIN := .venv/bin
MERMAID_VERSION := 11.17.2
MERMAID := .cache/mermaid
# The system's CPython is used; none is downloaded.
export UV_PYTHON_DOWNLOADS := never
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Two workers, each with servers of its own; a file's tests stay together, in the order of testpaths.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo install quick test lint format docs repository wheels bench soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(UV):
	@python3 -m venv .uv/$(UV_VERSION)
	@$(@D)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

demo: $(UV) ## rank the example photos through a real Triton server (no TensorFlow needed)
	@$(UV) sync --quiet --locked --inexact --no-default-groups --package iq-client --extra local
	@$(BIN)/iq-client rank examples/photos --local --model-repository model_repository

install: $(UV) ## make the environment of all four rooms and their tests
	$(UV) sync --quiet --locked --all-packages --all-extras

quick: install ## run the tests that need no TensorFlow, and servers only to share: while you work
	$(PYTEST) -m "not slow" tests/client tests/docs tests/serving tests/tools

test: install ## run the whole test suite
	$(PYTEST)

lint: install ## check style, types, spelling and the lock
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(UV) lock --check
	git ls-files '*.md' '*.rst' '*.py' '*.toml' '*.yaml' Makefile | xargs $(BIN)/codespell

# What draws the site's diagrams.
$(MERMAID)/mermaid.min.js:
	@mkdir -p $(@D)
	cd $(@D) && npm pack --silent mermaid@$(MERMAID_VERSION) && \
		tar -xzf mermaid-$(MERMAID_VERSION).tgz --strip-components 2 package/dist/$(@F)

docs: install ## build documents and Python API as a site that needs no network; warnings are errors
	@$(MAKE) --no-print-directory $(MERMAID)/mermaid.min.js || echo "no npm: diagrams are shown as their text" >&2
	$(BIN)/sphinx-build -q -a -W --keep-going -c docs -d .cache/docs . build/docs
	@echo "open build/docs/index.html"

format: install ## rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

repository: install ## renew model_repository/ around its graph, and the client's copy of the pixels
	$(BIN)/iq-tools repository --onnx model_repository/nima_tower/1/model.onnx
	$(BIN)/python scripts/client_pixels.py

wheels: $(UV) ## build and check every room, and the models, as wheels in dist/, with a bill of materials
	@rm -rf dist
	$(UV) build --wheel --all-packages --out-dir dist
	@$(UV) sync --quiet --locked --inexact --only-group wheels
	$(BIN)/twine check --strict dist/*.whl
	$(UV) export --quiet --locked --all-packages --all-extras --no-default-groups \
		--format cyclonedx1.5 --preview-features sbom-export --output-file dist/sbom.cdx.json

# Photos of one and of twelve megapixels, and NVIDIA's program where it is not on the PATH:
# make bench PHOTOS=DIR LARGE=DIR PERF_ANALYZER=FILE; with a container that runs on this CPU also
# STOCK=localhost:8001.
bench: install ## measure and rewrite the tables of docs/results/performance.md (ONLY="serving peers": some)
	$(BIN)/python benchmarks/report.py $(if $(PHOTOS),--photos $(PHOTOS)) \
		$(if $(LARGE),--large $(LARGE)) $(if $(PERF_ANALYZER),--perf-analyzer $(PERF_ANALYZER)) \
		$(if $(STOCK),--stock $(STOCK)) $(if $(ONLY),--only $(ONLY))

soak: install ## damage files, kill the server and watch its memory (hours; MINUTES=60 CORPUS=DIR PARTS=…)
	PYTHONPATH=. $(BIN)/python benchmarks/soak.py $(PHOTOS) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(CORPUS),--corpus $(CORPUS)) $(if $(PARTS),--parts $(PARTS))

clean: ## remove the environment and every cache
	rm -rf .venv .uv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
