# make book   the executed book in _build/html          make test   all checks
# make lab    the chapters, live, in JupyterLab          make help   the rest
#
# Needs Python 3.11 to 3.13 and make. Another interpreter:  make book PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
READY  := $(VENV)/.installed

# Recipes see the environment's own programs and kernels, whatever else the user has set up.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(BIN):$(PATH)
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
unexport PYTHONPATH PYTHONHOME JUPYTER_PATH MPLBACKEND

# Two notebooks or two test workers at a time: one thread for each. More threads would only compete.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env book assets pages test lint types unit reliability notebooks lab format clean constraints oldest newest locked lock sbom

help:
	@echo "make book         execute the chapters and build the book into _build/html"
	@echo "make test         lint, type check, unit tests, faults and malice, then every notebook"
	@echo "make lab          open the chapters in JupyterLab"
	@echo "make format       format the code and the notebooks' code"
	@echo "make pages        look at every built page in a browser"
	@echo "make lint | types | unit | reliability | notebooks   one part of make test"
	@echo "make constraints  write constraints.txt from the installed versions"
	@echo "make oldest | newest   unit tests on the oldest and on the newest versions that pyproject.toml allows"
	@echo "make locked       unit tests on the pinned versions, each file checked against its hash"
	@echo "make lock | sbom  write requirements.lock | list every package with its licence in sbom.cdx.json"
	@echo "make clean        remove what was built; the environment stays (rm -r .venv removes it)"

env: $(READY)

$(READY): pyproject.toml requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  "Python %d.%d found, 3.11 to 3.13 needed. Name another: make PYTHON=python3.12 ..." % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	$(BIN)/python -m pip check
	@touch $@

assets: $(READY)
	python book/fetch_assets.py
	python book/make_student_copies.py
	$(ONE_THREAD) python book/make_lifter.py

# The chapters run side by side into a cache, which the build then finds; what failed runs again there and says why.
# The cache goes with every build: it would not notice that ites_core has changed.
CACHE := _build/.jupyter_cache
book: assets
	rm -rf _build && mkdir _build
	echo y | jcache notebook -p $(CACHE) add book/*.ipynb > /dev/null   # y: make the cache
	$(ONE_THREAD) jcache project -p $(CACHE) execute -e local-parallel -t 900 -v WARNING
	jupyter-book build book -W -n --keep-going || { cat _build/html/reports/*.err.log 2>/dev/null; exit 1; }
	python book/make_slides.py _build/jupyter_execute _build/html
	python book/make_print_page.py _build/html
	# What no reader needs: source maps, translations, fonts that stand there as woff2 too, MathJax's packages in one file.
	find _build/html \( -name '*.map' -o -path '*/webfonts/*.ttf' -o -name all-packages.js \) -delete
	rm -rf _build/html/_static/locales
	python book/check_pages.py _build/html
	rm -rf _build/.doctrees $(CACHE)   # a gigabyte that the next build would not use
	@echo "The book: $(CURDIR)/_build/html/index.html"

# Every built page in a real browser; needs Chromium and a built book.
pages: $(READY)
	pytest -q -n $(WORKERS) -m "not timing" tests/pages
	pytest -q -m timing tests/pages

test: lint types unit reliability notebooks

lint: $(READY)
	ruff check .
	ruff format --check .

types: $(READY)
	mypy

LATER := --ignore=tests/reliability --ignore=tests/pages --ignore=tests/notebooks
unit: $(READY)
	$(ONE_THREAD) pytest -n $(WORKERS) -m "not timing" $(LATER)
	pytest -q -m timing $(LATER) || [ $$? -eq 5 ]  # 5: no test is marked so

# Faults, malice, numbers: a short version of each campaign in tests/campaigns.
reliability: $(READY)
	$(ONE_THREAD) pytest -n $(WORKERS) --durations=5 tests/reliability

notebooks: $(READY)
	$(ONE_THREAD) pytest --nbval-lax --nbval-cell-timeout=900 --nbval-kernel-startup-timeout=120 \
	  -n $(WORKERS) --dist loadfile --durations=5 book/*.ipynb
	$(ONE_THREAD) pytest -n $(WORKERS) tests/notebooks

lab: $(READY)
	jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) --notebook-dir=book

format: $(READY)
	ruff format .
	ruff check --fix-only .

constraints: $(READY)
	@{ sed -n '/^#/p' constraints.txt; pip freeze --all --exclude pip --exclude-editable \
	  | sed -nE 's/^([A-Za-z0-9._-]+==[^+]+).*/\1/p' | LC_ALL=C sort -f; } > constraints.new
	@mv constraints.new constraints.txt

# The unit tests, in environments of their own, on the oldest direct dependencies that pyproject.toml allows, and on the
# newest of everything. After `make newest`, `make book VENV=.venv-newest` builds the book with those.
oldest: RESOLUTION := lowest-direct
newest: RESOLUTION := highest
oldest newest:
	$(PYTHON) -m venv .venv-$@
	.venv-$@/bin/python -m pip install --disable-pip-version-check -q uv
	.venv-$@/bin/uv pip install -q --python .venv-$@ --resolution $(RESOLUTION) -e '.[book,data,export,fit,test]'
	touch .venv-$@/.installed
	$(MAKE) unit VENV=.venv-$@ PYTEST_ADDOPTS="--deselect tests/test_setup.py::test_constraints_are_what_is_installed"

# The pinned versions, every file checked against its hash; from PyPI alone, so torch comes with CUDA on Linux.
locked:
	$(PYTHON) -m venv .venv-$@
	.venv-$@/bin/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements.lock
	.venv-$@/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	touch .venv-$@/.installed
	$(MAKE) unit VENV=.venv-$@

# requirements.lock from constraints.txt, for every platform; and what is installed here, with licences, as CycloneDX.
TOOLS := .venv-tools/bin
lock: $(TOOLS)/uv
	printf 'hatchling\neditables\n' | $(TOOLS)/uv pip compile -q --universal --generate-hashes --python-version 3.11.5 \
	  -c constraints.txt --all-extras --custom-compile-command "make lock" pyproject.toml - -o requirements.lock

sbom: $(READY) $(TOOLS)/uv
	$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o sbom.cdx.json $(BIN)/python

$(TOOLS)/uv:
	$(PYTHON) -m venv .venv-tools
	$(TOOLS)/python -m pip install --disable-pip-version-check -q 'uv>=0.9' 'cyclonedx-bom>=7'

clean:
	rm -rf _build book/_vendor book/_generated dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ites_core tests book -name __pycache__ -prune -exec rm -rf {} +
