# NVIDIA's Triton with the Python that our four models run in.
#   docker build -f deploy/docker/triton.Dockerfile -t registry.example.com/hemline-triton:0.1.0 .
#
# 24.10 is server 2.51, the version that hemline/local/triton_server.py installs and the tests run.
# Another one needs another wheel below: a stub must be of its server's version.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.10-py3
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 \
    UV_PYTHON_INSTALL_DIR=/opt/python UV_LINK_MODE=copy
# NVIDIA's image has Python 3.10. This one is built for any glibc since 2.17 and brings libpython,
# which Triton's stub loads; uv knows the checksum of what it downloads.
RUN pip install uv==0.13.9 \
    && uv python install 3.11.14 \
    && uv venv --python 3.11.14 /opt/hemline
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY deploy/docker/dependencies.py deploy/docker/
RUN python deploy/docker/dependencies.py encoders > requirements.txt \
    && uv pip install --python /opt/hemline --constraint constraints.txt --requirement requirements.txt
# The stub for Python 3.11 of the same server; NVIDIA's image has that of its own Python alone.
RUN pip install --no-deps --target /wheel nvidia-pytriton==0.7.0 \
    && cp /wheel/pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub /opt/ \
    && chmod 0755 /opt/triton_python_backend_stub
COPY services services
COPY training training
COPY model_repository model_repository
COPY deploy deploy
RUN uv pip install --python /opt/hemline --no-deps .

FROM ${TRITON_IMAGE}
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/hemline /opt/hemline
COPY --from=build /opt/triton_python_backend_stub /opt/tritonserver/backends/python/
# The stub finds its packages beside the first python3 on PATH.
ENV PATH=/opt/hemline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Fails the build, not the cluster, when the server is of another version than the stub.
RUN test "$TRITON_SERVER_VERSION" = 2.51.0 \
    && python3 -c "import hemline.encoders.clip, hemline.encoders.served_clip, hemline.triton_container, hemline.triton_probe"
USER 10001:10001
WORKDIR /
ENTRYPOINT []
CMD ["python3", "-m", "hemline.triton_container"]
