# Every target sets itself up; CI calls these and has no logic of its own.
PY := .venv/bin/python
TESTS ?= tests fork_tests
WORKERS ?= 2
AREA ?=

.PHONY: setup run test check conformance bench soak

setup:
	@scripts/setup.sh all

run:
	@scripts/setup.sh run
	@$(PY) -m toolkit demo $(ARGS)

test: setup
	@$(PY) -m toolkit warmup
	$(PY) -m pytest -q -n $(WORKERS) --dist loadscope $(TESTS)

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check toolkit tests fork_tests scripts
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m pytest -q tests/test_tidy.py tests/test_exports.py
	$(PY) scripts/artifacts.py --check

bench: setup
	$(PY) -m scripts.bench $(if $(AREA),--area $(AREA))

conformance: setup
	$(PY) -m scripts.conformance $(ARGS)

soak: setup
	$(PY) -m scripts.soak $(if $(AREA),--area $(AREA))
