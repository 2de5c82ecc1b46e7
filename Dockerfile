# syntax=docker/dockerfile:1

FROM python:3.11-slim AS build
WORKDIR /srv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
COPY requirements-uv.lock requirements.lock ./
RUN python -m venv .venv \
    && python -m venv /uv && /uv/bin/pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
    && /uv/bin/uv pip install --no-cache --python .venv/bin/python --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY app app
COPY knowledge knowledge
# Editable, so that the code and the knowledge beside it stay where they are.
RUN /uv/bin/uv pip install --no-cache --python .venv/bin/python --no-deps -e .

FROM python:3.11-slim
RUN useradd --system --no-create-home zantara && install -d -o zantara /data
WORKDIR /srv
COPY --from=build /srv /srv
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data LOG_FORMAT=json PYTHONUNBUFFERED=1
USER zantara
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD [".venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
CMD [".venv/bin/zantara", "serve"]
