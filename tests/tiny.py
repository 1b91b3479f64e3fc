"""A tiny config and random batches for tests of the step and the loop."""

import numpy as np

from configs import shapes

CLASSES = 5
# Jitter and blur are most of what a step around a small network compiles: off where they are no subject.
NO_JITTER = dict(views__jitter_probability=0.0, views__blur_probability=0.0)


def config(method='unimatch', crop=(33, 32), batch=8, **changes):
    """`configs/shapes.py:METHOD` shrunk to a model that compiles in seconds."""
    c = shapes.get_config(method)
    c.data.crop = crop
    c.model.update(width=8, decoder_width=8, low_level_width=4, encoder='resnet18', stem='7x7')
    c.batch.update(labeled=batch, unlabeled=batch)
    c.method.tau = 0.21 if c.method.name != 'supervised' else c.method.tau
    c.optimizer.update(name='sgd', learning_rate=0.05)
    c.total_steps = 10
    for key, value in changes.items():
        node = c
        *parents, last = key.split('__')
        for parent in parents:
            node = node[parent]
        node[last] = value
    return c


def batch(config, step=0, seed=0, hidden=True):
    """Random host arrays in the shape that the pipeline delivers."""
    draw = np.random.default_rng([seed, step])
    (height, width), count = config.data.crop, config.batch.labeled
    partners = 1 if config.method.cutmix.partner == 'batch' else 2
    image = lambda *lead: draw.integers(0, 256, (*lead, height, width, 3), dtype=np.uint8)
    label = lambda *lead: np.where(draw.random((*lead, height, width)) < 0.1, 255,
                                   draw.integers(0, CLASSES, (*lead, height, width))).astype(np.uint8)
    unlabeled = config.batch.unlabeled
    valid = np.ones((unlabeled, partners, height, width), bool)
    valid[0, 0, -4:] = False
    result = {
        'labeled': {'image': image(count), 'label': label(count),
                    'index': np.arange(step * count, (step + 1) * count, dtype=np.int32)},
        'unlabeled': {'image': image(unlabeled, partners), 'valid': valid,
                      'index': np.arange(step * unlabeled, (step + 1) * unlabeled, dtype=np.int32)},
    }
    if hidden:
        result['unlabeled']['label'] = label(unlabeled, partners)
    return result
