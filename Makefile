# What the project does, by one word each; `make help` lists them.

PYTHON ?= python3
PORT ?= 8000
VAR ?= var
ARGS ?=

# The whole suite takes six processes, each test file in one of them: who waits for a stack leaves
# its core to the others. With four, two cores have nothing to do for a fifth of the time.
IN_PARALLEL = --numprocesses 6

# The shell gets them as they are, whatever is in them.
export PYTHON PORT VAR

# Every process of the stack would compile all of its code anew.
unexport PYTHONDONTWRITEBYTECODE

# What `make manage` prints is its command's alone, also where another make calls this one.
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help run restart test test-pythons test-frameworks test-containers check lock weigh compile docs bench bench-growth bench-guard bench-learning bench-paper bench-peers bench-rollouts bench-tail bench-test soak manage wheels clean

help: ## list these commands
	@echo "make COMMAND [PYTHON=python3] [PORT=8000] [VAR=var] [ARGS='...']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile

run: ## set everything up and start it on PORT, with its state in VAR, until Ctrl-C
	@scripts/setup
	@exec .venv/bin/python scripts/run_stack.py --docs --port "$$PORT" --var "$$VAR"

restart: ## replace the processes of the stack in VAR, one by one, without an error for a client
	@test -e "$$VAR/env.sh" || { echo "clipper: no stack has run in '$$VAR' yet: make run VAR='$$VAR'" >&2; exit 1; }
	@scripts/setup
	@exec .venv/bin/python -m clipper_site.stack.restart --var "$$VAR" $(ARGS)

test: ## run the suite, or: make test ARGS='tests/scripts -x'
	@scripts/setup --dev
	@exec .venv/bin/python -m pytest $(or $(ARGS),$(IN_PARALLEL))

test-pythons: ## run what a Python can break on Python 3.13 and 3.12
	@scripts/setup --dev
	@exec scripts/test-pythons $(ARGS)

test-frameworks: ## what `make test` leaves out: frameworks and environments, or: make test-frameworks ARGS=torch
	@scripts/setup --dev
	@exec .venv/bin/python -m tests.frameworks $(ARGS)

test-containers: ## as root: build the image, and test it in containers, by Compose and by the chart
	@scripts/setup --containers
	@exec .venv/bin/python -m pytest tests/containers $(ARGS)

check: ## style, types, imports, deployment settings, migrations
	@scripts/setup --check
	@exec scripts/check

weigh: ## count lines, names and words, beside those of a commit: make weigh ARGS=v0.1.0
	@scripts/setup --check
	@.venv/bin/python -m scripts.weigh $(ARGS)

lock: ## write the locked requirements (requirements*.txt) from what is asked for (requirements*.in)
	@scripts/setup
	@exec scripts/lock $(ARGS)

compile: ## compile what a query goes through to native code, for processes that start afterwards
	@scripts/setup --compile
	@exec .venv/bin/python -m scripts.compile

wheels: ## build the wheels of server, with compiled code, and client, and the sdist, in dist/
	@scripts/setup --compile
	@.venv/bin/python -m scripts.compile
	@for project in . clients/python; do .venv/bin/python -m build --no-isolation --sdist --wheel --outdir dist "$$project" || exit 1; done

docs: ## build the documentation, which the running stack serves at /docs/
	@scripts/setup --docs
	@exec .venv/bin/python -m scripts.docs.build

bench: ## run the quick benchmark
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.quick $(ARGS)

bench-paper: ## measure the paper's figures, or one: make bench-paper ARGS=fig4
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.paper $(ARGS)

bench-peers: ## compare with other prediction servers, or some: make bench-peers ARGS='--only triton'
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.peers $(ARGS)

bench-tail: ## measure the slowest queries, undisturbed and disturbed
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.tail $(ARGS)

bench-rollouts: ## measure how fast bad versions take themselves back
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.rollouts $(ARGS)

bench-growth: ## measure how the cost of a query grows: make bench-growth ARGS='contexts --quick'
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.growth $(ARGS)

bench-learning: ## play policies in worlds that change, delay, differ and mislead: make bench-learning ARGS='--policies auto'
	@scripts/setup --bench
	@exec .venv/bin/python -m benchmarks.learning $(ARGS)

bench-guard: ## check in half a minute whether queries became more expensive
	@scripts/setup --check
	@exec .venv/bin/python -m benchmarks.guard $(ARGS)

bench-test: ## the tests of the benchmarks themselves
	@scripts/setup --dev
	@exec .venv/bin/python -m pytest $(or $(ARGS),benchmarks/tests $(IN_PARALLEL))

soak: ## send half a million queries while one part after another is killed
	@scripts/setup --check
	@exec .venv/bin/python -m benchmarks.soak $(ARGS)

manage: ## run a manage.py command on the stack: make manage ARGS='status'
	@test -e "$$VAR/env.sh" || { echo "clipper: no stack has run in '$$VAR' yet: make run VAR='$$VAR'" >&2; exit 1; }
	@. "$$(realpath -- "$$VAR")/env.sh" && exec .venv/bin/python manage.py $(ARGS)

clean: ## remove .venv, .venv-peers, the built docs and every cache; the state in VAR stays
	rm -rf .venv .venv-* build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
