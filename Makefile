# make setup       .venv with rlkit and all it needs, at the locked versions (LOCK=locks/gpu.txt on a GPU machine)
# make gguf        llama-cpp-python for GGUF files: built from source in some ten minutes, once (the wheel stays in the cache)
# make quickstart  from nothing to a model that GRPO made better, in some three minutes on two cores
# make check       lint, format, types
# make test        the whole test suite
# make bench       the quickstart over five seeds, held to its bar (some ten minutes)
# make bench-rewards  agreement of the rewards with labelled answers, beside TRL's (needs the data that ../shared has)
# make bench-grpo  a GRPO step and its parts beside TRL's (some half an hour)
# make bench-tasks every task trained on real data beside its baseline (needs that data too; an hour and a half)
# make resolve     do the nine packages that rlkit stands on still resolve together?

PYTHON ?= python3
LOCK ?= locks/cpu.txt
BIN := .venv/bin
OLDEST_TRL := 1.14.2

LLAMA := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' rlkit/export/gguf/llama_cpp.py)
WHEELS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rlkit/wheels
LLAMA_ARGS := -DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF

.PHONY: setup gguf quickstart check test test-fast test-oldest bench bench-rewards bench-grpo bench-tasks resolve lock clean

setup: .venv/.installed

.venv/.installed: pyproject.toml $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rlkit needs Python 3.11 or newer: make setup PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(if $(filter %cpu.txt,$(LOCK)),--no-deps) -r $(LOCK)
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	touch $@

gguf: setup
	ls $(WHEELS)/llama_cpp_python-$(LLAMA)-*.whl || CMAKE_ARGS="$(LLAMA_ARGS)" $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEELS) llama-cpp-python==$(LLAMA)
	$(BIN)/python -m pip install --quiet --no-deps $(WHEELS)/llama_cpp_python-$(LLAMA)-*.whl diskcache==5.6.3
	$(BIN)/python -c "from rlkit.export.gguf import llama_cpp; from rlkit.progress import Progress; print(llama_cpp.converter(None, Progress()))"

quickstart: setup
	$(BIN)/rlkit train quickstart

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two processes, each with one thread: threads that wait for each other in both would take the time that they save.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 25

test-fast: setup
	$(BIN)/python -m pytest -m "not slow"

# The other end of the range of TRL that pyproject admits, laid over the environment.
test-oldest: setup
	test -d .venv/trl-$(OLDEST_TRL) || $(BIN)/python -m pip install --quiet --no-deps --target .venv/trl-$(OLDEST_TRL) trl==$(OLDEST_TRL)
	PYTHONPATH=.venv/trl-$(OLDEST_TRL) $(BIN)/python -m pytest tests/recipe/test_trl_fields.py tests/recipe/test_batch.py tests/training -m "not slow"

bench: setup
	$(BIN)/python benchmarks/quickstart.py

bench-rewards: setup
	$(BIN)/python benchmarks/agreement.py

bench-grpo: setup
	$(BIN)/python benchmarks/time_to_accuracy.py --seeds 5
	$(BIN)/python benchmarks/shared_prefix.py --model 14M --dtype float32
	$(BIN)/python benchmarks/flat_groups.py --model 14M --dtype float32
	$(BIN)/python benchmarks/weight_sync.py
	$(BIN)/python benchmarks/rollout.py --engine transformers
	$(BIN)/python benchmarks/grpo_step.py --engine transformers
	$(BIN)/python benchmarks/grpo_step.py --engine transformers --memory

bench-tasks: setup
	$(BIN)/python benchmarks/tasks/table.py

resolve: setup
	$(BIN)/python locks/lock.py resolve

lock: setup
	$(BIN)/python locks/lock.py cpu
	$(BIN)/python locks/lock.py gpu

clean:
	rm -rf .venv build dist *.egg-info
