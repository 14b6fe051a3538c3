# Two commands matter: `make book` and `make test`. `make help` lists the others.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# One thread a process: small models on shared cores are fastest and steadiest so.
export OMP_NUM_THREADS := 1
export PYTHONUTF8 := 1
# The C library, where it is glibc. Large arrays lie on pages of 2 MB instead of 4 KB: a virtual machine looks 4 KB pages
# up in two tables, and on ours a sum over 256 MB took 3 to 30 times as long with them. And freed memory, up to half a
# gigabyte a process, is kept for the next array: what is given back must be asked for, and cleared, anew.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=536870912:glibc.malloc.top_pad=67108864

# The first Python that is new enough; `make book PYTHON=…` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c "$(NEW_ENOUGH)" 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
PORT ?= 8000
ROUNDS ?= 5
# One worker a processor; the tests of a file share its fixtures, so they stay together. Files come in the order of
# tests/conftest.py, not in that of pytest-xdist, which begins with those of many tests.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
CODE := companion tools tests benchmarks book
# `node` is the machine's, or the one that `make assets` put into the environment where that was missing or old.
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH"
BIOME := $(WITH_NODE) node_modules/.bin/biome

.PHONY: help book test browser pages notebooks units check quick-units colab outputs pdf screenshots bench ranges serve format clean clean-book requirements repository environment assets lint types frontend spelling links

help: ## what each command does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

book: environment assets ## fetch the published models, build the book into _build/html, its notebooks into _build/notebooks; OUTPUTS=<path or https address> of outputs.zip saves the runs
	@$(BIN)/python tools/published.py $(PUBLISHED)
	@$(BIN)/python tools/build_book.py

test: environment assets ## everything: lint, types, all notebooks, the book built twice, all tests
	@$(MAKE) -j 2 lint frontend
	@$(MAKE) clean-book
	$(BIN)/python tools/published.py --all --by-pip
	@$(MAKE) -j 2 types notebooks
	@$(MAKE) -j 2 browser units

# Each notebook takes one processor; the types, which take one for a minute, are checked beside the first of them.
notebooks:
	$(BIN)/python tools/run_notebooks.py $(SIDE_BY_SIDE) --durations=10

# The build has one process, and a browser waits more than it computes: the tests that need no page run beside both. On a
# busy machine a browser may be late once; what fails twice is a fault, and what was run again is named (R).
browser: pages
	$(BIN)/python -m pytest -p no:nbmake $(SIDE_BY_SIDE) --reruns 1 -rR --durations=10 -m "(book or browser) and not colab" tests/book tests/browser

pages:
	@$(MAKE) book PUBLISHED=--by-pip
	@$(MAKE) book PUBLISHED=--by-pip

units:
	$(BIN)/python -m pytest -p no:nbmake $(SIDE_BY_SIDE) --doctest-modules --durations=10 -m "not book and not browser and not colab" companion tests

check: environment assets ## the fast loop: lint, types, unit tests, examples of the docstrings
	@$(MAKE) -j 2 lint frontend
	@$(MAKE) -j 2 types quick-units

quick-units:
	$(BIN)/python -m pytest -p no:nbmake $(SIDE_BY_SIDE) --doctest-modules -m "not slow and not book and not browser and not colab" companion tests

# Beside each other programs have the memory that a plain Python gives them, as they have it at a reader's.
bench: environment ## measure speed and attention viewers beside peers from PyPI, and pages, and say what could not be (ROUNDS=1: a trial)
	env -u GLIBC_TUNABLES $(BIN)/python benchmarks/bench.py --rounds $(ROUNDS)

colab: environment ## run the made notebooks as Colab does, in an environment with its versions; after make book
	$(BIN)/python tools/colab.py "$(PYTHON)" $(SIDE_BY_SIDE)

ranges: environment ## the package's tests at the lowest and the newest versions, with each Python that is here; ONLY="floors-3.11" some of them
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/python tools/ranges.py $(ONLY) -- $(SIDE_BY_SIDE)

outputs: environment ## pack the notebooks' outputs into dist/outputs.zip, for make book OUTPUTS=…
	@$(BIN)/python tools/outputs.py

pdf: environment ## print the built book into dist/large-language-models-live.pdf
	@$(BIN)/python tools/pdf.py

screenshots: environment ## photograph the built pages, in both themes, on a desktop and a phone, into _build/screenshots; ONLY="gpt attention" some of them
	@$(BIN)/python tools/screenshots.py $(ONLY)

serve: ## read the built book at http://127.0.0.1:8000 (another port: PORT=…)
	@$(BIN)/python tools/serve.py $(PORT)

format: environment assets ## write code and notebooks in the house format
	$(BIN)/python tools/notebooks.py
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIOME) check --write

clean: ## remove everything that was made: packages, assets, pages
	rm -rf .venv .colab .ranges node_modules _build .executed dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-book: ## remove the built pages and the notebooks' outputs
	rm -rf _build .executed

requirements: environment ## write requirements.txt anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python tools/pin.py

repository: environment ## set the repository's address in every place: URL=https://github.com/owner/name
	@$(BIN)/python tools/repository.py "$(URL)"

environment: .venv/.ready

.venv/.ready: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found. If you have one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) tools/environment.py packages
	@touch $@

assets: node_modules/.package-lock.json

node_modules/.package-lock.json: package.json package-lock.json | .venv/.ready
	@$(BIN)/python tools/environment.py assets
	@touch $@

lint: spelling
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/python tools/notebooks.py --check
	$(BIOME) check --error-on-warnings

types:
	$(BIN)/mypy
	$(WITH_NODE) node_modules/.bin/tsc

frontend:
	$(WITH_NODE) node --test tests/widgets/frontend/*.test.js

spelling:
	$(BIN)/codespell $(CODE) .ci .github *.md *.toml *.yml *.cff

links: environment assets ## ask every address outside the book whether it is still there (needs a network)
	$(BIN)/jupyter-book build . --builder linkcheck
