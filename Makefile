# The habits of this project: the same commands here as in CI.
PYTHON ?= python3
BIN := .venv/bin
# Compiled once here, not at each start: a start of the service takes half as long. Needed where
# PYTHONDONTWRITEBYTECODE is set, as in many containers.
export UV_COMPILE_BYTECODE := 1

# The development lock holds the service's too.
AUDITED := requirements-dev.lock requirements-uv.lock
# Of Chroma's server, which is not run; no release mends them. SECURITY.md has the reasons.
UNMENDED := CVE-2026-45829 GHSA-36p7-vc44-83pf GHSA-2wm9-hf6c-p5cr
LOOK_AGAIN := 2027-03-01
AUDIT := $(BIN)/pip-audit --disable-pip --require-hashes --progress-spinner off \
	$(addprefix --ignore-vuln ,$(UNMENDED))

.PHONY: attack help run test test-all check format eval eval-documents soak bench bench-quick bench-peers audit \
	audit-where-reached sbom vectors lock

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/run ## Serve on port 8080, indexing the bundled knowledge at the first start
	$(BIN)/zantara serve

TESTED_WITH := .venv/dev .venv/bin/promtool .venv/bin/chromium .venv/bin/redis-server .venv/clients

test: $(TESTED_WITH) ## Run the tests but for the slow ones: no key, no network
	$(BIN)/pytest -m "not slow"

test-all: $(TESTED_WITH) ## Run all tests: the image, made-up requests, kills, full disks, supply chain too
	$(BIN)/pytest

check: .venv/dev .venv/scanned ## Lint, types, import directions, shell scripts, secrets, advisories
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files '*.sh' .ci/run | xargs $(BIN)/shellcheck
	@$(MAKE) -s audit-where-reached

format: .venv/dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

eval: .venv/eval ## Measure the retrieval: questions on the documents in ../shared
	$(BIN)/python -m scripts.evaluate

eval-documents: .venv/run ## Measure the reading: facts in the files of ../shared/documents
	$(BIN)/python -m scripts.evaluate_documents

soak: .venv/dev ## Ten minutes of random faults, then SIGTERM: writes docs/reliability.md
	$(BIN)/python -m scripts.soak

bench: .venv/dev ## What new and remembered questions and an ingest cost: docs/performance.md
	$(BIN)/python -m bench --json docs/performance.json
	$(BIN)/python -m bench.report

bench-quick: .venv/dev ## The same with fewer rows, printed alone
	$(BIN)/python -m bench --quick

bench-peers: .venv/uv ## LiteLLM's proxy, in an environment of its own, to be compared with
	$(BIN)/uv venv -q --allow-existing .venv-peers
	$(BIN)/uv pip install -q --python .venv-peers/bin/python 'litellm[proxy]==1.106.2'

audit: .venv/dev ## Ask for advisories on the locked packages; fails where one could not be asked for
	@[ "$$(date +%F)" \< "$(LOOK_AGAIN)" ] || { \
		echo 'since $(LOOK_AGAIN) it is time to look again for releases that mend $(UNMENDED)' >&2; \
		exit 1; }
	$(AUDIT) --strict $(addprefix -r ,$(AUDITED))

# The service that knows the advisories is not reached from everywhere. One package tells whether it
# is; where it is not, the last line of check says that nothing was audited.
audit-where-reached:
	@if $(AUDIT) --timeout 5 --format json -r requirements-uv.lock 2>/dev/null \
		| grep -q '"vulns"'; \
	then $(AUDIT) --strict $(addprefix -r ,$(AUDITED)); \
	else echo 'NOT AUDITED: no advisories could be asked for here; run "make audit" where they can' \
		>&2; \
	fi

attack: .venv/dev ## Attack a service of its own as outsiders did: writes docs/attacks.md
	$(BIN)/python -m scripts.attack

sbom: .venv/dev ## What the image is made of: sbom.cdx.json and docs/licences.md, from the lock
	$(BIN)/python -m scripts.sbom

vectors: .venv/run ## Embed the bundled knowledge again, after a change to it
	$(BIN)/python -m scripts.build_vectors

lock: .venv/uv ## Resolve the dependencies afresh, with hashes, for every platform
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--upgrade pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--upgrade pyproject.toml --group eval -c requirements.lock -o requirements-eval.lock
	echo 'uv>=0.13,<0.14' | $(BIN)/uv pip compile -q --universal --python-version 3.11 \
		--generate-hashes --upgrade - -o requirements-uv.lock
	rm -f tests/clients/package-lock.json
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --prefix tests/clients --package-lock-only --silent

# Only what changed is scanned again. Nothing is asked of anybody whether a key still works.
.venv/scanned: .venv/dev .secrets.baseline $(wildcard $(shell git ls-files 2>/dev/null))
	@echo "detect-secrets: what has changed, of $(words $(filter-out .venv/dev,$^)) files"
	@$(BIN)/detect-secrets-hook --no-verify --baseline .secrets.baseline $(filter-out .venv/dev,$?)
	touch $@

.venv/bin/promtool: .venv/uv
	scripts/install-promtool.sh $@

.venv/bin/chromium: .venv/uv
	scripts/install-chromium.sh $@

.venv/bin/redis-server: .venv/uv
	scripts/install-redis.sh $@

# The official clients of other languages that the tests drive, in tests/clients/node_modules.
.venv/clients: .venv/dev tests/clients/package-lock.json
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix tests/clients --silent --no-audit --no-fund
	touch $@

# Each stamp is made again when what it was made from changes.
.venv/uv: requirements-uv.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --require-hashes -r requirements-uv.lock
	touch $@

.venv/run: .venv/uv requirements.lock pyproject.toml
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	$(BIN)/python -m compileall -q app
	touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock
	touch $@

.venv/eval: .venv/run requirements-eval.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-eval.lock
	touch $@
