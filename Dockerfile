# An image of the project for one kind of machine: docker build --build-arg KIND=cuda -t REGISTRY/s4mim:1 .
# KIND is cpu, cuda or tpu. Packages are installed by launch/setup.sh, in the versions that were tested.
FROM python:3.11-slim

ARG KIND=cpu
WORKDIR /s4mim
# What set-up reads comes first: a change of the source does not install everything again.
COPY requirements*.txt pyproject.toml LICENSE README.md ./
COPY constraints constraints
COPY launch/setup.sh launch/setup.sh
COPY s4mim_jax/__init__.py s4mim_jax/__init__.py
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 PATH=/s4mim/.venv/bin:$PATH
RUN launch/setup.sh "$KIND"
COPY . .
RUN launch/setup.sh "$KIND"
