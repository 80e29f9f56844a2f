# The environment is made by scripts/setup.sh; every target calls it, and it does nothing when nothing has changed.
BIN := .venv/bin
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# A sourced ROS 2 does not mix with the wheels in .venv.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: all setup demo results results-more test test-long test-apt lint clean distclean help
.DEFAULT_GOAL := all

all: setup
	@echo "Ready. Next: make demo, make test, or .venv/bin/tristage --help"

setup:
	@scripts/setup.sh

demo: setup
	@$(BIN)/tristage demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

EVALUATE = $(BIN)/tristage evaluate --document docs/results.md --out docs/results/episodes $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))
results: setup
	@$(EVALUATE) --core

results-more: setup
	@$(EVALUATE) --more

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 -m "not serial and not long"
	$(BIN)/python -m pytest -m "serial and not long"
	scripts/apt_versions.sh

test-long: setup
	$(BIN)/python -m pytest -m long

test-apt: setup
	scripts/apt_versions.sh

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf build install log *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name ".venv*" -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-apt

help:
	@echo "make            set up .venv: Python packages, ROS 2 wheels, messages (PYTHON=python3.12 chooses the Python, TORCH=cpu|cuda the build)"
	@echo "make demo       run the whole simulated cell (DEMO_SECONDS=60 limits it)"
	@echo "make results    the core of docs/results.md, tables 2 and 3, from where it stopped (CHECKPOINT=file): under 2 hours on 2 cores"
	@echo "make results-more  all other tables and figures: as long again"
	@echo "make test       lint, run the tests, then those of the rooms without torch with the versions that apt has"
	@echo "make test-apt   the last of these alone"
	@echo "make test-long  what takes long: the shipped models at their tasks, bags with damage, every row of the studies"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make clean      remove what building and testing left"
	@echo "make distclean  remove .venv and .venv-apt as well"
