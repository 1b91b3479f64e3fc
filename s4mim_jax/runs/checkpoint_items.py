"""What a checkpoint is made of: items of a state and back, and whether stored ones are those of a config."""

import jax

from s4mim_jax.config.errors import InputError
from s4mim_jax.training.state import TrainState, network_parameters


def items_of(state: TrainState) -> dict:
    """Item -> tree of a state, or of its shapes or shardings."""
    # What serves training only is kept beside the optimiser: evaluation never sees it.
    beside = {n: v for n, v in state.params.items() if n not in network_parameters(state.params)}
    optimizer = {'step': state.step, 'seed': state.seed, 'opt_state': state.opt_state}
    return {'weights': {'params': network_parameters(state.params), 'batch_stats': state.batch_stats, 'ema': state.ema},
            'optimizer': optimizer | ({'beside': beside} if beside else {}),
            **({'terms': state.terms} if state.terms else {})}


def state_of(items) -> TrainState:
    """The state whose items were restored."""
    params = items.weights['params'] | items.optimizer.get('beside', {})
    carried = items['terms'] if 'terms' in items.keys() else {}
    return TrainState(items.optimizer['step'], items.optimizer['seed'], params, items.weights['batch_stats'],
                      items.optimizer['opt_state'], items.weights['ema'], carried)


def with_shardings(tree, shardings):
    """Shapes and dtypes of a tree, each with where it shall lie."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings)


def compare(manager, step, items, folder) -> None:
    """Refuses a stored step whose arrays are not those of `items`. Orbax would pad or truncate some mismatches.

    Raises:
      InputError: naming the first array that differs.
    """
    metadata = manager.item_metadata(step)
    differences = []
    for name, target in items.items():
        wanted = {_path(p): tuple(x.shape) for p, x in jax.tree_util.tree_leaves_with_path(target)}
        stored = {_path(p): tuple(x.shape or ()) for p, x in
                  jax.tree_util.tree_leaves_with_path(metadata[name].tree) if hasattr(x, 'shape')}
        for key in sorted(wanted.keys() | stored.keys()):
            if wanted.get(key) != stored.get(key):
                differences.append(f'{key}: stored {stored.get(key, "absent")}, config {wanted.get(key, "absent")}')
    if differences:
        raise InputError(f'{folder}/{step} is a checkpoint of another model, class count or optimiser '
                         f'({len(differences)} arrays differ)\n{differences[0]}\n'
                         'use the config of that run, or another --workdir')


def _path(path) -> str:
    return '/'.join(str(getattr(p, 'key', getattr(p, 'idx', getattr(p, 'name', p)))) for p in path)

