"""What follows from a config and a number of devices without compiling anything."""

import math

import jax

from s4mim_jax.planning.dataset import Dataset
from s4mim_jax.planning.program import abstract_batch, state_bytes, tree_bytes
from s4mim_jax.training import passes
from s4mim_jax.training.optimizer import base_learning_rate
from s4mim_jax.training.state import abstract_state


def run_description(config, dataset: Dataset, mesh, hosts: int) -> dict:
    """Parameters, passes, batch, learning rate, schedule, input and state, as the JSON of a plan holds them.

    Args:
      config: a whole, validated config whose batch fits the mesh.
      mesh: of the devices, present or not. hosts: machines that feed them.
    """
    state, devices = abstract_state(config, dataset.num_classes), mesh.size
    return {
        'method': config.method.name,
        'model': {'encoder': config.model.encoder, 'decoder': config.model.decoder, 'remat': config.model.remat,
                  'num_classes': dataset.num_classes, 'crop': list(config.data.crop)},
        'precision': config.precision, 'partition': config.partition, 'mesh': dict(mesh.shape),
        'parameters': _parameters(state.params),
        'passes': passes.pass_costs(config),
        'batch': _batch(config, devices),
        'learning_rate': _learning_rate(config),
        'schedule': _schedule(config, dataset),
        'input': _input(config, devices, hosts),
        'state_bytes': state_bytes(config, state, mesh),
    }


def _parameters(params) -> dict:
    count = lambda tree: sum(math.prod(x.shape) for x in jax.tree.leaves(tree))
    parts = {'encoder': count(params['encoder']), 'decoder': count(params['decoder'])}
    extra = count({name: tree for name, tree in params.items() if name not in parts})
    return parts | {'extra': extra, 'total': sum(parts.values()) + extra}


def _batch(config, devices: int) -> dict:
    unlabeled = config.batch.unlabeled if passes.passes_of(config.method).unlabeled else 0
    return {'labeled': config.batch.labeled, 'unlabeled': unlabeled, 'accumulate': config.batch.accumulate,
            'labeled_per_device': config.batch.labeled / devices, 'unlabeled_per_device': unlabeled / devices,
            'reference': config.optimizer.reference_batch}


def _learning_rate(config) -> dict:
    scaled = base_learning_rate(config)
    return {'recipe': config.optimizer.learning_rate, 'factor': config.batch.labeled / config.optimizer.reference_batch,
            'encoder': scaled, 'rest': scaled * config.optimizer.head_multiplier}


def _schedule(config, dataset: Dataset) -> dict:
    """Steps, epochs, and the steps that see as many images as total_steps do at the recipe's batch."""
    seen = config.batch.unlabeled if passes.passes_of(config.method).unlabeled else config.batch.labeled
    same = math.ceil(config.total_steps * config.optimizer.reference_batch / config.batch.labeled)
    return {'total_steps': config.total_steps, 'images': dataset.images,
            'epochs': config.total_steps * seen / dataset.images if dataset.images else None,
            'steps_for_the_same_images': same, 'dataset': dataset.source}


def _input(config, devices: int, hosts: int) -> dict:
    """Bytes that the hosts send to the devices for a step: uint8 crops, labels, validity, indices."""
    size = tree_bytes(abstract_batch(config))
    return {'bytes_a_step': size, 'bytes_a_step_per_device': size // devices, 'hosts': hosts,
            'bytes_a_step_per_host': size // hosts}
