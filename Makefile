# Two commands do everything on a fresh machine: `make run` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
# What the tests drive, besides bash: taken from the system where it can be.
TOOLS := zsh fish strace shellcheck shfmt direnv zoxide tmux git npm systemd
SUITE := node@22 @modelcontextprotocol/conformance@0.2.0-alpha.12 \
    @modelcontextprotocol/sdk@1 @modelcontextprotocol/client@2
# What npm's users share most, for the tests of `llmenv share`.
SERVERS := @modelcontextprotocol/server-memory@2026.8.31 \
    @modelcontextprotocol/server-everything@2026.8.31
# The tests of what the hook looks at, which are also run without /proc, and as in bash 3.2.
HOOK := tests/hooks
LOOK := $(foreach name,any_setting fires manners neighbours state restricted bash zsh fish,$(HOOK)/test_$(name).py)
# What a newer shell or a newer Python has broken.
NEWEST := $(HOOK) tests/test_examples.py tests/test_chaos.py tests/protocol/test_services_at_the_prompt.py

.PHONY: help run test newest bench chaos agents conformance docs picture dist llmenv-ensure.py setup tools clean

help:           ## list the targets
	@sed -n 's/^\([a-z.-]*\):.*## /\1\t/p' Makefile | expand -t 18

run: .venv/ready ## start a real memory server by the hook, show who is refused, print the rc line
	$(BIN)/python examples/demo.py

test: tools ## check types and style, then run all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 4
	WITHOUT_PROC=1 $(BIN)/pytest --numprocesses 4 $(LOOK)
	BASH_COMPAT=3.2 $(BIN)/pytest --numprocesses 4 -k 'not zsh and not fish' $(LOOK)

newest:         ## run the hook's tests with the shells and the Python of Debian sid (root, 30 minutes)
	tests/newest.sh sh -ec 'bash --version | head -n 1; zsh --version; fish --version; python3 --version; \
	    make --silent setup; .venv/bin/pytest --numprocesses 2 $(NEWEST)'

bench: tools ## what the hook costs, beside nothing, direnv, zoxide and mise (4 minutes)
	PYTHONPATH=tests $(BIN)/python bench/bench.py

conformance: tools ## ask the official suite, directly, behind the bridge and behind mcp-proxy (3 minutes)
	PYTHONPATH=tests $(BIN)/python tests/conformance/table.py

chaos: tools ## break the helper, kill and fail it at every one system call, and more (40 minutes)
	PYTHONPATH=tests $(BIN)/python chaos/mutants.py
	PYTHONPATH=tests $(BIN)/python chaos/bridge_mutants.py
	PYTHONPATH=tests $(BIN)/python chaos/chaos.py
	PYTHONPATH=tests $(BIN)/python chaos/bridge_chaos.py
	LLMENV_TEST_KILLS=1000 $(BIN)/pytest tests/bridge/test_never_down.py -k many_kills

agents: setup .venv/servers/ready ## four real coding agents share servers, and live through kills (12 minutes, 1.3 GB)
	npm install --silent --no-package-lock --prefix realagents
	PYTHONPATH=tests $(BIN)/python realagents/shared.py
	PYTHONPATH=tests $(BIN)/python realagents/realagents.py

picture: setup  ## record docs/picture.svg: a fresh account installs llmenv and uses it
	$(BIN)/python docs/picture.py

docs: setup     ## write the documents' tables anew
	$(BIN)/python docs/generate.py

llmenv-ensure.py: setup ## write the helper as one file, and its companions beside it
	$(BIN)/llmenv-ensure --pack $@

setup: .venv/ready .venv/proxy/ready

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'llmenv-hooks needs Python 3.11 or newer: make PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[memory]' --group test --group lint
	@touch $@

# mcp-proxy needs the 1.x line of the MCP SDK, and so an environment of its own.
.venv/proxy/ready: .venv/ready
	$(PYTHON) -m venv .venv/proxy
	.venv/proxy/bin/python -m pip install --quiet --disable-pip-version-check 'mcp-proxy>=0.13' 'mcp<2'
	ln -sf ../proxy/bin/mcp-proxy $(BIN)/mcp-proxy
	@touch $@

# The official conformance suite, which wants Node 22, and the SDK's clients in TypeScript.
.venv/conformance/ready: Makefile | .venv/ready
	npm install --silent --no-save --prefix .venv/conformance $(SUITE)
	@touch $@

.venv/servers/ready: Makefile | .venv/ready
	npm install --silent --no-save --prefix .venv/servers $(SERVERS)
	@touch $@

# As root on Debian the missing tools are installed; elsewhere the tests that want them say so.
# mise comes from npm, which root gets from Debian; without it tests take what it does in short (in CI
# they must not), and the benchmark leaves it out.
tools: setup
	@missing=; for tool in $(TOOLS); do \
	    command -v $$tool >/dev/null 2>&1 || missing="$$missing $$tool"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "not installed, their tests will be skipped:$$missing" >&2; fi
	@if command -v mise >/dev/null || [ -x $(BIN)/mise ]; then :; \
	elif npm install --silent --no-save --prefix .venv @jdxcode/mise; then \
	    ln -s ../node_modules/.bin/mise $(BIN)/mise; \
	else echo 'mise is not installed: npm could not do it' >&2; [ "$$CI" != true ]; fi
	@$(MAKE) --silent .venv/conformance/ready || \
	    { echo 'no conformance suite: npm could not install it' >&2; [ "$$CI" != true ]; }
	@$(MAKE) --silent .venv/servers/ready || \
	    { echo 'no servers to share: npm could not install them' >&2; [ "$$CI" != true ]; }

# The same commit gives the same bytes: no time but the commit's, no owner, no umask is in them.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1767225600)
dist: setup     ## build what a release has: wheel, sdist, the packed files, and their checksums
	rm -rf dist
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(BIN)/python -m build --no-isolation .
	$(BIN)/python -m llmenv_hooks.helper --pack dist/llmenv-ensure.py
	cd dist && sums=$$(sha256sum * 2>/dev/null || shasum -a 256 *) && echo "$$sums" >SHA256SUMS

clean:          ## remove what the other targets made
	rm -rf .venv dist llmenv-ensure.py llmenv-bridge.py llmenv-connect.py .demo .newest .mypy_cache .pytest_cache .ruff_cache .hypothesis realagents/node_modules
