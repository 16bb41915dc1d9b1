# One image for x86-64 and aarch64 (docker buildx build --platform linux/amd64,linux/arm64 .).
# Build stage: locked packages, the extension, the kernels. Run stage: no compiler, no root.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/aegis/venv/bin:$PATH
WORKDIR /src
# The packages first: this layer stays while only our own sources change.
COPY requirements-image.lock ./
RUN python -m venv /opt/aegis/venv \
 && pip install --require-hashes --only-binary :all: --requirement requirements-image.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY native_ext native_ext
COPY ringbuffer ringbuffer
COPY engine engine
COPY exchange exchange
COPY research research
# Say which sources these are: --build-arg COMMIT=$(git rev-parse HEAD); Railway says it by itself.
ARG COMMIT
ARG RAILWAY_GIT_COMMIT_SHA
RUN pip install --no-deps --no-build-isolation . \
 && echo "${COMMIT:-${RAILWAY_GIT_COMMIT_SHA:-unknown}}" > "$(cd / && python -c 'import engine; print(*engine.__path__)')/COMMIT"
# Kernels are compiled for the baseline of the architecture, because the machine that builds is not
# the machine that runs. Whole seconds on the sources: image layers keep no fractions of them, and
# the cache of compiled kernels compares.
ENV NUMBA_CPU_NAME=generic
RUN find /opt/aegis/venv -name '*.py' -exec touch --date=2026-01-01T00:00:00Z {} + \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/aegis/venv/lib \
 && AEGIS_HOME=/opt/aegis/baked aegis doctor --warm

FROM ${PYTHON_IMAGE} AS run
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 aegis \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin aegis \
 && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/aegis
COPY --from=build /opt/aegis /opt/aegis
COPY --chmod=0755 deploy/entrypoint.sh /usr/local/bin/aegis-entrypoint
ENV PATH=/opt/aegis/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    AEGIS_HOME=/var/lib/aegis \
    PORT=8080
WORKDIR /var/lib/aegis
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=2)"]
# tini reaps and forwards SIGTERM to the engine alone, which stops its roles in order.
ENTRYPOINT ["/usr/bin/tini", "--", "aegis-entrypoint"]
CMD ["run"]
