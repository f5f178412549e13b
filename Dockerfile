# syntax=docker/dockerfile:1
# Pinned by digest; to take in a newer one, change tag and digest together and run `make test-deploy`.
ARG PYTHON=python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c

FROM ${PYTHON} AS build
SHELL ["/bin/sh", "-euc"]
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
RUN python -m venv /opt/askgraph
WORKDIR /src
COPY requirements.txt ./
RUN /opt/askgraph/bin/python -m pip install --no-compile --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY backend backend
COPY agents agents
COPY services services
COPY infrastructure infrastructure
COPY middleware middleware
# What is compiled here says nothing of the hour: bytecode is found valid by its place, and nobody may write it later.
RUN /opt/askgraph/bin/python -m pip install --no-compile --no-deps --no-build-isolation . \
 && /opt/askgraph/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/askgraph/lib

FROM ${PYTHON}
SHELL ["/bin/sh", "-euc"]
# tini is process 1: it passes signals on, and buries what the readers of uploads leave behind.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends 'tini=0.19.*' \
 && rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 10001 askgraph \
 && useradd --uid 10001 --gid askgraph --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin askgraph \
 && install -d -o askgraph -g askgraph /var/lib/askgraph/data /var/lib/askgraph/cache
COPY --from=build /opt/askgraph /opt/askgraph
COPY knowledge /srv/askgraph/knowledge
WORKDIR /srv/askgraph
# Nothing but /var/lib/askgraph and /tmp is written: the rest may be mounted read-only.
# glibc gives each thread an arena of its own, and none gives back what it has: two take 15 MB less.
ENV PATH=/opt/askgraph/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 \
    HOST=0.0.0.0 PORT=8000 KNOWLEDGE_DIR=/srv/askgraph/knowledge \
    DATA_DIR=/var/lib/askgraph/data CACHE_DIR=/var/lib/askgraph/cache
USER 10001:10001
VOLUME /var/lib/askgraph
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/ready\", timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["askgraph", "serve"]
