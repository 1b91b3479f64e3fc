"""The configs lie at the top of the checkout, where people read them, and inside the package once it is installed."""

from setuptools import find_packages, setup

CONFIGS = {'s4mim_jax.configs': 'configs', 's4mim_jax.configs.methods': 'configs/methods'}

setup(packages=[*find_packages(include=['s4mim_jax*']), *CONFIGS], package_dir=CONFIGS)
