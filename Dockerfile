# syntax=docker/dockerfile:1

FROM python:3.11-slim AS build
WORKDIR /srv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
COPY requirements-uv.lock requirements.lock ./
RUN --mount=type=cache,target=/root/.cache \
    python -m venv /uv \
    && /uv/bin/pip install --require-hashes -r requirements-uv.lock \
    && /uv/bin/uv venv --no-project --python /usr/local/bin/python .venv \
    && /uv/bin/uv pip install --python .venv/bin/python --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY app app
COPY knowledge knowledge
# Editable, so that the code and the knowledge beside it stay where they are; compiled here,
# because nothing can be written where it runs.
RUN --mount=type=cache,target=/root/.cache \
    /uv/bin/uv pip install --python .venv/bin/python --no-deps -e . \
    && .venv/bin/python -m compileall -q app \
    && chmod -R go-w .

FROM python:3.11-slim
# Reads scans, in the three languages.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        tesseract-ocr tesseract-ocr-eng tesseract-ocr-ita tesseract-ocr-ind \
    && rm -rf /var/lib/apt/lists/*
# The one place that can be written, also where the root is not mounted read-only: on Fly.io the
# volume, elsewhere -v.
RUN python -m pip uninstall --yes pip setuptools wheel \
    && useradd --system --no-create-home --uid 10001 zantara \
    && find /run /tmp /var/tmp -xdev -type d -perm -o+w -exec chmod o-w {} + \
    && install -d -o zantara /data
WORKDIR /srv
COPY --from=build /srv /srv
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data TMPDIR=/data LOG_FORMAT=json \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD [".venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
CMD [".venv/bin/zantara", "serve"]
