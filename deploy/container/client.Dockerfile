# iq-client with what a bulk run needs, for the chart's job:
#
#   docker build -f deploy/container/client.Dockerfile -t iq-client .
FROM python:3.12-slim AS build

ARG UV=0.13.9
RUN python3 -m pip install --no-cache-dir "uv==${UV}"
WORKDIR /src
# The lock is of all four rooms; only the client is installed.
COPY pyproject.toml uv.lock LICENSE ./
COPY serving/pyproject.toml serving/pyproject.toml
COPY training/pyproject.toml training/pyproject.toml
COPY tools/pyproject.toml tools/pyproject.toml
COPY model_repository/pyproject.toml model_repository/pyproject.toml
COPY client client
ARG EXTRAS="--extra cloud --extra parquet"
ENV UV_PROJECT_ENVIRONMENT=/opt/iq \
    UV_PYTHON_DOWNLOADS=never
# hadolint ignore=SC2086
RUN uv sync --locked --no-default-groups --no-editable --package iq-client ${EXTRAS}

FROM python:3.12-slim
COPY --from=build /opt/iq /opt/iq
USER 1000:1000
ENTRYPOINT ["/opt/iq/bin/iq-client"]
