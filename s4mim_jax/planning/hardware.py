"""`hardware=24gb`: the settings with which a recipe fits one device, its global batch left as it is.

The estimate of a step's memory is ours: what the layers of the network hand on, counted from shapes alone, for every
image that is seen with a gradient, plus full-size logits, state and images. It lies some ten percent above what a
compiled step needs (tests/planning/test_hardware.py); `python -m s4mim_jax.plan` gives the compiler's own figure.
"""

import math

from s4mim_jax.config.encoder_sizes import CONVNEXTS, PATCHES
from s4mim_jax.config.errors import InputError

GIGABYTES = {'16gb': 16, '24gb': 24, '40gb': 40, '80gb': 80}
USABLE = 0.9  # of a device's memory: the runtime and its kernels keep the rest
SAVED = 1.6  # bytes kept for the backward pass, relative to the outputs of the layers: of norms and activations too
REMATERIALIZED = 0.4  # of them is kept where blocks are computed again
CLASSES = 21  # where the dataset's number is not known here


def fit(config, name: str) -> None:
    """Sets precision, batch.accumulate and model.remat so that a step fits.

    Recomputing changes no number but costs a third more time, micro-batches are free but change what BatchNorm sees.
    So networks with BatchNorm recompute before their batch is cut, the others cut first.

    Raises:
      InputError: an unknown name, or a step that does not fit however it is cut.
    """
    if name not in GIGABYTES:
        raise InputError(f'hardware={name}: unknown\nvalid: {", ".join(GIGABYTES)}, the memory of one device')
    config.precision = 'bfloat16'
    limit = USABLE * GIGABYTES[name] * 1e9
    cuts = [n for n in range(1, config.batch.labeled + 1)
            if config.batch.labeled % n == 0 and config.batch.unlabeled % n == 0]
    model = config.model
    frozen = model.freeze_norm or model.freeze_encoder or model.encoder in (*PATCHES, *CONVNEXTS)  # LayerNorm
    normed = config.model.norm == 'batch' and not frozen
    tries = [(cut, False) for cut in cuts] + [(cut, True) for cut in cuts]
    if normed:
        tries = [(cuts[0], False)] + [(cut, True) for cut in cuts]
    sizes = _Sizes(config)
    for cut, remat in tries:
        if sizes.step_bytes(cut, remat) <= limit:
            config.batch.accumulate, config.model.remat = cut, remat
            return
    least = min(sizes.step_bytes(cut, remat) for cut, remat in tries) / 1e9
    raise InputError(f'hardware={name}: a step needs about {least:.1f} GB even with '
                     f'--config.batch.accumulate={cuts[-1]} and --config.model.remat=true\n'
                     'valid: a smaller encoder or --config.data.crop, or a larger device')


def step_bytes(config, num_classes: int | None = None) -> int:
    """Estimated bytes of a training step on one device, with the config's own accumulation and remat."""
    return _Sizes(config, num_classes).step_bytes(config.batch.accumulate, config.model.remat)


class _Sizes:
    """What does not depend on how the batch is cut, found once."""

    def __init__(self, config, num_classes: int | None = None):
        from s4mim_jax.planning.dataset import known_classes
        from s4mim_jax.training import passes
        self.config = config
        self.classes = num_classes or known_classes(config.data.name) or CLASSES
        self.rows = [row for row in passes.pass_costs(config) if row['gradient']]
        self.layers, parameters = _layers(config, self.classes)
        copies = 2 + (config.optimizer.name != 'sgd')  # gradient and momentum, or two moments
        self.state = 4 * parameters * (1 + copies + (config.method.teacher.kind == 'ema'))

    def step_bytes(self, accumulate: int, remat: bool) -> int:
        itemsize = 2 if self.config.precision == 'bfloat16' else 4
        pixels = math.prod(self.config.data.crop)
        total = self.state
        for row in self.rows:
            encoded, decoded = row['encoded'] / accumulate, row['decoded'] / accumulate
            kept = REMATERIALIZED if remat else 1.0
            total += SAVED * itemsize * (encoded * self.layers['encoder'] * kept + decoded * self.layers['decoder'])
            # float32: the view itself, logits, their softmax and their gradient.
            total += 4 * pixels * (encoded * 3 + decoded * 3 * self.classes)
        return int(total)


def _layers(config, classes: int) -> tuple[dict[str, int], int]:
    """Numbers that the layers of encoder and decoder give for one image, and the number of parameters."""
    import jax
    import jax.numpy as jnp

    from s4mim_jax import models
    module = models.build(config.model, classes)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, 3), jnp.float32)

    def run(x):
        variables = module.init(jax.random.key(0), x)
        _, seen = module.apply(variables, x, capture_intermediates=True, mutable=['intermediates'])
        return variables['params'], seen['intermediates']

    params, seen = jax.eval_shape(run, image)
    count = lambda tree: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
    return {part: count(_leaf_modules(seen.get(part, {}))) for part in ('encoder', 'decoder')}, count(params)


def _leaf_modules(seen):
    """Outputs of the innermost modules only: what a block returns is one of theirs."""
    inner = {name: value for name, value in seen.items() if name != '__call__'}
    return {name: _leaf_modules(value) for name, value in inner.items()} if inner else seen
