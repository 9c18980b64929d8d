# The Python services and the command line: gateway, retrieval, reranker, updater, indexer, by command.
#   docker build -f deploy/docker/hemline.Dockerfile -t registry.example.com/hemline:0.1.0 .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
RUN python -m venv /opt/hemline
# The dependencies first: they change less often than the code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY deploy/docker/dependencies.py deploy/docker/
RUN python deploy/docker/dependencies.py > requirements.txt \
    && /opt/hemline/bin/pip install --constraint constraints.txt --requirement requirements.txt
COPY services services
COPY training training
COPY model_repository model_repository
COPY deploy deploy
RUN /opt/hemline/bin/pip install --no-deps . \
    && /opt/hemline/bin/pip check \
    && /opt/hemline/bin/python -m compileall -q /opt/hemline/lib \
    && /opt/hemline/bin/pip uninstall --yes --quiet pip setuptools

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/hemline /opt/hemline
ENV PATH=/opt/hemline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, which Kubernetes can check to be nobody's root. Nothing is written but to volumes.
USER 10001:10001
WORKDIR /
CMD ["hemline", "--help"]
