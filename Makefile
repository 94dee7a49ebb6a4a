# Every target makes the virtual environment itself where it is missing.
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin

VENV_V2 := .venv-v2
STAMP_V2 := $(VENV_V2)/.installed

.PHONY: demo test test-mps test-v2 check bench soak clean

demo: $(STAMP)
	$(BIN)/nautilus-metal backtest portfolio_risk

# By two processes at a time (`make test WORKERS=4` for more), the tests of a file in one of them.
WORKERS := 2
PYTEST_BY := pytest --numprocesses $(WORKERS) --dist loadfile
PYTEST := $(BIN)/python -m $(PYTEST_BY)

test: $(STAMP)
	$(PYTEST)

# The suite on a simulated Apple GPU (tests/mps_sim), with the newest table of MPS operators, then the oldest.
MPS := $(PYTEST) --device mps

test-mps: $(STAMP)
	$(MPS)
	$(MPS) --mps-torch oldest -m gpu

# What runs under NautilusTrader v2, in an environment of its own, which needs Python 3.13.
test-v2: $(STAMP_V2)
	$(VENV_V2)/bin/python -m $(PYTEST_BY) tests/v2 tests/parity tests/host tests/test_messages.py tests/test_package.py \
	  tests/backtests tests/strategies strategies

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/nautilus-metal bench

soak: $(STAMP)
	$(BIN)/nautilus-metal live --soak

$(STAMP): pyproject.toml constraints.txt
	@python=; for candidate in python3.12 python3.13 python3.14 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "nautilus_metal needs Python 3.12 or newer and found none on the PATH: install it, then run make again." >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	  echo "Making $(VENV) with $$($$python --version)"; $$python -m venv --clear $(VENV); \
	fi
	@echo "Installing nautilus_metal and its extras: a few minutes the first time"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fast,test,dev]'
	@touch $(STAMP)

PYTHONS_V2 := python3.13 python3.14 $(wildcard $(HOME)/.pyenv/versions/3.1[34].*/bin/python) python3

$(STAMP_V2): pyproject.toml constraints-v2.txt
	@python=; for candidate in $(PYTHONS_V2); do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 13) <= sys.version_info < (3, 15))' 2>/dev/null; then \
	    python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "NautilusTrader v2 needs Python 3.13 or 3.14, and none was found: install one, then run make again." >&2; exit 1; \
	fi; \
	test -x $(VENV_V2)/bin/python || $$python -m venv $(VENV_V2)
	@echo "Installing nautilus_metal with NautilusTrader v2: a few minutes the first time"
	$(VENV_V2)/bin/python -m pip install --quiet --constraint constraints-v2.txt --editable '.[fast,test]'
	@touch $(STAMP_V2)

clean:
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
