"""Training without any input pipeline: state and step. The loop is `s4mim_jax.runs.loop`."""

from s4mim_jax.training.initial import create_state
from s4mim_jax.training.state import TrainState
from s4mim_jax.training.step import Length, Metric, make_train_step

__all__ = ['Length', 'Metric', 'TrainState', 'create_state', 'make_train_step']
