# make run: from a fresh clone to a walking robot.  make test: the tests.  make help: everything else.

VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# What the tests need beside it: a browser for the live page, shellcheck, systemd-analyze.
TESTED := $(VENV)/.tested
# of make view; empty: the one that comes with the package
POLICY ?=
# With it lcm-spy decodes what it hears.
SPY_JAR := $(VENV)/share/java/wildrobot_lcm.jar
# PyTorch first and pinned: without a pin, pip takes the newest build with gigabytes of CUDA packages.
TORCH  ?= torch==2.13.0
ARGS   ?=
# What pip says is kept, and shown only if it fails.
LOG    := $(VENV)/set-up.log
LOGGED := sh scripts/logged.sh
PIP    := $(BIN)/pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup run view test test-lowest lint format bench peers ablation first-day clean announce pads

help:
	@echo "make run     reference, training, export, evaluation, 20 s of walking, report (about 17 min on two cores)"
	@echo "make view    a simulated robot, live in the browser: look at it, drive it; Ctrl-C ends both"
	@echo "make test    the tests"
	@echo "make test-lowest  the fast tests with the lowest versions that pyproject.toml allows, in $(VENV)-lowest"
	@echo "make lint    ruff (format and rules) and mypy"
	@echo "make format  let ruff format the code"
	@echo "make bench   benchmarks, JSON on the screen"
	@echo "make peers   training beside RSL-RL's and Stable-Baselines3's PPO, which it installs; 60 s each"
	@echo "make ablation  what each part of the training is worth: 32 short runs, an hour; continues where it was"
	@echo "make pads    every gamepad of the table beside SDL itself, which it installs in $(VENV)-sdl; 20 s"
	@echo "make clients  other people's Dynamixel programs on the virtual robot (2 GB with LeRobot's)"
	@echo "make readers  exports of a log, read by what people plot with: rerun, Lichtblick's parsers, pandas, polars, DuckDB (1.5 GB)"
	@echo "make lcm-spy  LCM's lcm-spy with the message types; make lcm-spy-jar makes their jar only; both need a JDK"
	@echo "make first-day  docs/first_day.md on the virtual robot, command by command, in real time; a quarter of an hour"
	@echo "make firmware-emulated  the sensor board's core on an emulated Cortex-M0, beside the core on this computer; 2 min"
	@echo "make arm64   the base install on arm64 under QEMU: golden vectors, replay, doctor; 10 min the first time, as root"
	@echo "make clean   remove $(VENV) and caches; runs/ stays"
	@echo
	@echo "ARGS passes on: make run ARGS='--speed 0.2', make test ARGS='-m \"not slow\"'"

announce:
	@if [ ! -f $(READY) ]; then \
	  echo "WildRobot: from a fresh clone to a walking robot, about 17 minutes on two cores."; \
	  echo; \
	  echo "  set-up     1 to 3 min     Python packages into $(VENV) (1.8 GB), system libraries for video"; \
	  echo "  then       about 16 min   reference motion, training, export, evaluation, walk, report"; \
	  echo; \
	  echo "Interrupt it whenever you like: make run goes on where it was."; \
	  echo; \
	fi

setup: $(READY)

$(READY): pyproject.toml scripts/system_libraries.sh scripts/logged.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "WildRobot needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Making $(VENV) failed; on Debian and Ubuntu: sudo apt-get install -y python3-venv"; rm -rf $(VENV); exit 2; }
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(LOGGED) "set-up: PyTorch" $(LOG) $(PIP) "$(TORCH)"
	@$(LOGGED) "set-up: Python packages" $(LOG) $(PIP) -e '.[dev]'
	@sh scripts/system_libraries.sh $(BIN)/python
	@touch $@

run: announce $(READY)
	@$(BIN)/wildrobot make-run $(ARGS)

view: $(READY)
	@$(BIN)/wildrobot view --sim $(POLICY) $(ARGS)

$(TESTED): $(READY) scripts/system_libraries.sh
	@sh scripts/system_libraries.sh $(BIN)/python tests
	@touch $@

test: $(TESTED)
	$(BIN)/python -m pytest $(ARGS)

test-lowest:
	@$(MAKE) --no-print-directory VENV=$(VENV)-lowest $(VENV)-lowest/.lowest
	$(VENV)-lowest/bin/python -m pytest -m "not slow" $(ARGS)

$(VENV)/.lowest: $(READY) tests/lowest.txt
	@$(LOGGED) "set-up: the lowest versions" $(LOG) $(PIP) -r tests/lowest.txt
	@sh scripts/system_libraries.sh $(BIN)/python tests
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@set -e; for file in $(filter-out benchmarks/ablation.py benchmarks/peers.py,$(wildcard benchmarks/*.py)); do echo "# $$file"; $(BIN)/python $$file $(ARGS); done

peers: $(READY)
	@$(LOGGED) "set-up: RSL-RL and Stable-Baselines3" $(LOG) $(PIP) -e '.[bench]'
	@$(BIN)/python benchmarks/peers.py $(ARGS)

pads: $(TESTED)
	@test -x $(VENV)-sdl/bin/python || $(PYTHON) -m venv $(VENV)-sdl
	@$(LOGGED) "set-up: SDL" $(LOG) $(VENV)-sdl/bin/pip install --disable-pip-version-check pysdl2==0.9.17 pysdl2-dll==2.32.10
	SDL_PYTHON=$(VENV)-sdl/bin/python $(BIN)/python -m pytest tests/test_gamepad_sdl.py $(ARGS)

ablation: $(READY)
	@$(BIN)/python benchmarks/ablation.py $(ARGS)

.PHONY: readers clients lcm-spy lcm-spy-jar
clients: $(READY)
	@$(BIN)/python tests/clients/run_clients.py $(ARGS)

readers: $(READY)
	@$(BIN)/python tests/readers/read_exports.py $(ARGS)

lcm-spy: $(SPY_JAR)
	@CLASSPATH=$(abspath $(SPY_JAR)) $(BIN)/lcm-spy $(ARGS)

lcm-spy-jar: $(SPY_JAR)
	@echo "CLASSPATH=$(abspath $(SPY_JAR)) lcm-spy"

$(SPY_JAR): scripts/lcm_spy_jar.sh $(wildcard wildrobot/*/*/lcm_types/*.lcm) | $(READY)
	@sh scripts/lcm_spy_jar.sh $(BIN)/python $@

first-day: $(TESTED)
	@PYTHONPATH=. $(BIN)/python tests/follow_first_day.py $(ARGS)

# These two need Debian's cross compiler and QEMU; they say which packages, and install nothing.
.PHONY: firmware-emulated arm64
firmware-emulated: $(READY)
	@$(BIN)/python tests/emulation/firmware.py

arm64: $(READY)
	@PYTHON=$(CURDIR)/$(BIN)/python tests/emulation/arm64.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find wildrobot tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
