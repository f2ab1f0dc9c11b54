# Two stages on one base: what builds, and what runs. `make image` builds it; docs/image.md explains it.
# The base by tag; by digest with --build-arg PYTHON=python:3.13-slim@sha256:...
ARG PYTHON=docker.io/library/python:3.13-slim

FROM ${PYTHON} AS build

# Nothing, or `otel` for traces: which lock is shipped, image.txt or image-otel.txt.
ARG EXTRAS=
WORKDIR /build
# Optional secrets, which are in no layer: `pip` is a pip.conf that names an index or a proxy; `ca` is the certificate
# authority of either, which that pip.conf refers to as `cert = /run/secrets/ca`.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/doorward
COPY requirements/image.txt requirements/image-otel.txt requirements/image-build.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    tools/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/image-build.txt \
    && tools/bin/pip download --no-cache-dir --require-hashes --no-deps --only-binary :all: \
    --dest wheels -r "requirements/image${EXTRAS:+-$EXTRAS}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY deploy/image deploy/image
# From here on nothing is fetched: what is installed is what the lock's hashes name, and this source. Bytecode
# is taken as it is: compared by time, it would be stale where a layer rounds times, and compiled again at every start.
RUN tools/bin/pip --python /opt/doorward/bin/python install --no-cache-dir --require-hashes --no-deps --no-compile \
    --no-index --find-links wheels -r "requirements/image${EXTRAS:+-$EXTRAS}.txt" \
    && tools/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir own . \
    && tools/bin/pip --python /opt/doorward/bin/python install --no-cache-dir --no-index --no-deps --no-compile own/*.whl \
    && /opt/doorward/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/doorward/lib \
    && sed -i "s/^dynamic = .*/version = \"$(/opt/doorward/bin/python -c 'import doorward; print(doorward.__version__)')\"/" \
    pyproject.toml \
    && tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
    --output-file /opt/doorward/sbom.cdx.json /opt/doorward/bin/python \
    && tools/bin/python deploy/image/licences.py /opt/doorward/sbom.cdx.json /opt/doorward/lib/python3*/site-packages \
    > /opt/doorward/LICENCES.txt \
    && cp deploy/image/healthcheck.py LICENSE /opt/doorward/

FROM ${PYTHON}

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Doorward" \
    org.opencontainers.image.description="Self-hosted, multi-tenant authentication" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/doorward /opt/doorward
# Copied, a folder would lose its mode. Bases may come without the bytecode of Python's own library, which would then be
# compiled again at every start and by every health check; what of it does not compile is not used.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data \
    && stdlib="$(python3 -B -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && { python3 -B -m compileall -q -x /site-packages/ --invalidation-mode unchecked-hash "$stdlib" || true; }

ENV PATH=/opt/doorward/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data

# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/opt/doorward/bin/python", "/opt/doorward/healthcheck.py"]
ENTRYPOINT ["doorward"]
CMD ["serve"]
