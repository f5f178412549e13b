# syntax=docker/dockerfile:1
FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/askgraph
WORKDIR /src
COPY requirements.txt ./
RUN /opt/askgraph/bin/python -m pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY backend backend
COPY agents agents
COPY services services
COPY infrastructure infrastructure
COPY middleware middleware
RUN /opt/askgraph/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 askgraph \
 && useradd --uid 10001 --gid askgraph --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin askgraph \
 && install -d -o askgraph -g askgraph /var/lib/askgraph/data /var/lib/askgraph/cache
COPY --from=build /opt/askgraph /opt/askgraph
COPY knowledge /srv/askgraph/knowledge
WORKDIR /srv/askgraph
# Nothing but /var/lib/askgraph is written: the rest may be mounted read-only.
ENV PATH=/opt/askgraph/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 PORT=8000 KNOWLEDGE_DIR=/srv/askgraph/knowledge \
    DATA_DIR=/var/lib/askgraph/data CACHE_DIR=/var/lib/askgraph/cache
USER askgraph
VOLUME /var/lib/askgraph
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/ready\", timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["askgraph", "serve"]
