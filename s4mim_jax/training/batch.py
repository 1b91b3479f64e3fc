"""What a batch must hold, checked when the step is traced: a batch made by hand gets a sentence, not a KeyError."""

import numpy as np

from s4mim_jax.config.errors import InputError

_INDEX = 'int32 [B], the number of each example in the whole run, such as step * B + numpy.arange(B)'
# side -> entry -> (dimensions, what it is)
ENTRIES = {
    'labeled': {'image': (4, 'uint8 [B, H, W, channels], 0 .. 255'),
                'label': (3, 'integers [B, H, W], class ids and 255 = ignore'), 'index': (1, _INDEX)},
    'unlabeled': {'image': (5, 'uint8 [B, P, H, W, channels], 0 .. 255; P = 2 with a CutMix partner, else 1'),
                  'valid': (4, 'bool [B, P, H, W], False where the crop goes beyond the image'), 'index': (1, _INDEX)},
}


def check_batch(batch, sides: tuple[str, ...]) -> None:
    """Raises InputError for a batch of {side: {entry: array}} that lacks an entry or has one of another kind."""
    for side in sides:
        if side not in batch:
            raise InputError(f'the batch has no {side!r}, which this method needs\n'
                             f'valid: {{{side!r}: {{{", ".join(map(repr, ENTRIES[side]))}}}}}')
        for name, (rank, kind) in ENTRIES[side].items():
            if name not in batch[side]:
                raise InputError(f'the batch has no {name!r} in {side!r}\nvalid: {kind}')
            array = batch[side][name]
            wanted = {'image': array.dtype == np.uint8, 'valid': array.dtype == np.bool_}
            if array.ndim != rank or not wanted.get(name, array.dtype.kind in 'iu'):
                raise InputError(f'batch[{side!r}][{name!r}] is {array.dtype} of shape {tuple(array.shape)}\n'
                                 f'valid: {kind}')
