# The wheel is built, and everything installed, in a first stage; the image gets the finished environment only.
FROM python:3.13.16-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock requirements-runtime.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
RUN python -m venv /opt/etl && /opt/etl/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY etl etl
COPY migrations migrations
COPY dashboards/superset dashboards/superset
RUN /opt/build/bin/python -m hatchling build --target wheel \
    && /opt/etl/bin/pip install --no-cache-dir --no-deps dist/*.whl \
    && /opt/etl/bin/pip check \
    && /opt/etl/bin/pip uninstall --yes pip

FROM python:3.13.16-slim-bookworm
COPY --from=build /opt/etl /opt/etl
# The account has a name, since the embedded server asks who it runs as, and owns nothing but its data.
RUN useradd --uid 10001 --home-dir /var/lib/call-warehouse --create-home --shell /usr/sbin/nologin etl \
    && mkdir /etc/etl
ENV PATH="/opt/etl/bin:$PATH" \
    ETL_CONFIG=/etc/etl/config.toml \
    PYTHONUNBUFFERED=1 \
    XDG_DATA_HOME=/var/lib
USER etl
WORKDIR /var/lib/call-warehouse
VOLUME /var/lib/call-warehouse
# A sync ends by itself and says by its exit code how. For a worker ask its /healthz, as docker-compose.yml does.
HEALTHCHECK NONE
ENTRYPOINT ["etl"]
CMD ["--help"]
