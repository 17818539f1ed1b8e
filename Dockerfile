# The image of a Ray cluster's nodes, of jobs and of the backend: shoal and Ray in one Python. KubeRay says what a container starts.
#
#   docker build -t REGISTRY/shoal:0.1.0 .
#   docker build -t REGISTRY/shoal:0.1.0-cuda --build-arg EXTRAS=cluster,fast,label-studio,postgres,structural,transformers .
#
# Pin the base by its digest where you build: --build-arg BASE=python:3.11.14-slim-bookworm@sha256:...
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
# Of torch, where an extra wants it: none takes the package index's (CUDA); give the index of PyTorch's CPU builds or of your CUDA.
ARG TORCH_INDEX=
ARG EXTRAS=cluster,fast,label-studio,postgres,structural
# Versions are pinned by the constraints, for what builds the wheel too.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=/src/constraints.txt
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}
WORKDIR /src
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Dependencies first: they change less often than the code, and make the layer that nodes fetch once. Of the index of torch comes
# nothing but torch: of what torch needs it holds other versions than the constraints name.
COPY pyproject.toml constraints.txt ./
# hadolint ignore=DL3013
RUN python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*p["dependencies"], *(r for e in sys.argv[1].split(",") if e for r in p["optional-dependencies"][e]), sep="\n")' "${EXTRAS}" > wanted.txt \
 && if [[ -n "${TORCH_INDEX}" ]]; then pip install --no-deps --index-url "${TORCH_INDEX}" torch torchvision && printf 'torch\ntorchvision\n' >> wanted.txt; fi \
 && pip install --requirement wanted.txt

COPY README.md LICENSE ./
COPY core/ core/
COPY plugins/ plugins/
COPY ls_backend/ ls_backend/
COPY configs/ configs/
RUN pip install --no-deps . && pip check

FROM ${BASE}
# The ids are those of the chart's pods.
RUN groupadd --gid 10001 shoal && useradd --uid 10001 --gid 10001 --create-home --shell /bin/bash shoal
COPY --from=build /opt/venv /opt/venv
COPY ray_jobs/ /opt/shoal/ray_jobs/
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
WORKDIR /home/shoal
# Kubernetes probes each container by what it does.
HEALTHCHECK NONE
