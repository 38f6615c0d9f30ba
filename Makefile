# Everything runs in .venv, which is rebuilt only when requirements.txt or a pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)

# One thread: on models this small more of them only wait for each other, and runs repeat exactly.
export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo docs nightly stubs test fuzz test-slow test-backends test-oldest release lint bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): requirements.txt $(PROJECTS)
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements.txt
	touch $@

install: $(STAMP) ## Create .venv with every package of the repository, editable

demo: $(STAMP) ## Train the digits model, calibrate it, verify it, report
	$(BIN)/hgq2 demo

test: $(STAMP) ## Run the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not nightly"

# `--hypothesis-seed` repeats a round. ROUNDS=20 runs longer.
ROUNDS ?= 5

fuzz: $(STAMP) ## Run the property tests at length, each round with a fresh seed, which is printed
	for round in $$(seq $(ROUNDS)); do \
	    seed=$$($(BIN)/python -c 'import secrets; print(secrets.randbits(32))'); \
	    echo "round $$round of $(ROUNDS): --hypothesis-profile=fuzz --hypothesis-seed=$$seed"; \
	    $(BIN)/python -m pytest -n 2 --dist worksteal -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$$seed || exit 1; \
	done

test-slow: $(VENV)/.docs ## Run the slow tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not nightly"

$(VENV)/.backends: $(STAMP) requirements-backends.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements-backends.txt
	touch $@

# Each backend in processes of its own, a fifth of the tests and of those some cases (tests/conftest.py); `make nightly` runs
# all, also slow ones. Marked `once`: what asks nothing of the backend. A test that only torch can do says so where it is skipped.
BACKEND_TESTS := $(wildcard tests/fixed_point tests/minifloat tests/layers tests/attention tests/contract tests/zoo \
	tests/end_to_end/test_backends.py tests/end_to_end/test_data_parallel.py tests/core/test_optimizer.py tests/core/test_doctor.py tests/core/test_doctor_ranges.py tests/core/test_resuming.py tests/core/test_jit_backends.py \
	tests/found_by_use/test_01_weight_decay.py tests/found_by_use/test_14_data.py)

ON_BACKENDS := -m pytest -n 2 --dist worksteal $(BACKEND_TESTS) -m "not once and not nightly

test-backends: $(VENV)/.backends ## Run the numeric, layer, contract and end-to-end tests on jax and tensorflow
	KERAS_BACKEND=torch $(BIN)/python -m pytest -m "slow and backends" tests/end_to_end/test_backends.py
	KERAS_BACKEND=jax $(BIN)/python $(ON_BACKENDS) and (not slow or backends)"
	KERAS_BACKEND=tensorflow $(BIN)/python $(ON_BACKENDS) and (not slow or backends)"

$(VENV)/.docs: $(STAMP) requirements-docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements-docs.txt
	touch $@

docs: $(VENV)/.docs ## Build the documentation site in site/
	$(BIN)/mkdocs build --strict

# Built anew when a lower bound changes; another environment, as the tests here want the newest.
OLDEST := .venv-oldest

$(OLDEST)/.installed: requirements.txt $(PROJECTS) | $(STAMP)
	rm -rf $(OLDEST)
	$(PYTHON) -m venv $(OLDEST)
	$(BIN)/python scripts/oldest_versions.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements.txt -c $(OLDEST)/constraints.txt
	touch $@

test-oldest: $(OLDEST)/.installed ## Run the fast tests with the oldest dependencies that are allowed
	# What is old deprecates what is older; Keras before 3.15 warns of transposed convolutions on torch.
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal -m "not slow and not nightly" -W ignore::DeprecationWarning \
	    -W "ignore:You might experience inconsistencies across backends:UserWarning"

$(VENV)/.release: $(STAMP) requirements-release.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements-release.txt
	touch $@

release: $(VENV)/.release ## Build every distribution in dist/ and check it in clean environments (RELEASE=--draft before the date is set)
	$(BIN)/python scripts/release.py $(RELEASE)

lint: $(STAMP) ## Check style, types and the dependency rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: bench-startup bench-speed bench-quantizer ## Time all benchmarks on torch (BENCH="--hgq2-python PATH": also hgq2 0.2.0)

# One of them; speed and quantizer also take BENCH="--backend jax".
bench-%: $(STAMP)
	$(BIN)/python benchmarks/$*.py $(BENCH)

stubs: $(STAMP) ## Write what follows from the kinds: type stubs, the tables of docs/layers.md and docs/catalogue.md, and docs/command_line.md
	$(BIN)/python scripts/write_stubs.py
	$(BIN)/ruff format --quiet plugins/*/hgq2_*/__init__.pyi
	$(BIN)/python scripts/write_layer_table.py
	$(BIN)/python scripts/write_catalogue.py
	$(BIN)/python scripts/write_tested_table.py
	$(BIN)/python scripts/write_command_line.py

$(VENV)/.nightly: $(VENV)/.backends requirements-nightly.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements-nightly.txt
	touch $@

nightly: $(VENV)/.nightly ## Run the longest tests, also on jax and tensorflow, train the gallery, simulate circuits, place and route one, time steps; writes docs/results (SETS="gallery": one of them)
	$(BIN)/python -m pytest -n 2 -m nightly
	KERAS_BACKEND=jax $(BIN)/python $(ON_BACKENDS)" --every-case
	KERAS_BACKEND=tensorflow $(BIN)/python $(ON_BACKENDS)" --every-case
	$(BIN)/python benchmarks/nightly.py $(SETS)

clean: ## Remove .venv, caches and build output
	rm -rf $(VENV) $(OLDEST) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist plugins/*/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
