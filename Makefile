# Everything runs in .venv, which is made on first use.
PYTHON ?= python3
DEMO_MINUTES ?= 4.5
VENV := .venv
BIN := $(VENV)/bin
# Without a screen, napari is painted on one in memory; Qt's own "offscreen" paints no canvas.
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
ifneq ($(shell command -v xvfb-run),)
SCREEN := QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1600x1000x24"
endif
endif
STAMP := $(VENV)/installed

.PHONY: demo test lint docs clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py --max-minutes $(DEMO_MINUTES)

# Most tests keep one core busy, so files of them run side by side; each process takes up to 2 GB of memory.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(SCREEN) $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/npe2 validate --imports src/napari_noise2atom/napari.yaml

docs: $(VENV)/docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[em,dev]'
	touch $@

$(VENV)/docs: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@
