"""The start text says in words what a run's numbers depend on."""

import pytest

from s4mim_jax import evaluation
from s4mim_jax.config import base
from s4mim_jax.runs.start_text import in_words


@pytest.mark.parametrize('settings, said', [
    ({}, 'the whole image at its own size, scored at own size, float32'),
    ({'eval.mode': 'sliding', 'eval.window': (321, 320)},
     'sliding windows over the image at its own size, windows of 321 x 320, a window every 214 x 213, '
     'scored at own size, float32'),
    ({'eval.multiple': 32, 'data.resize': (180, 240), 'eval.flip': True, 'eval.scales': (0.75, 1.0)},
     'the whole image resized to 180 x 240, sides rounded to multiples of 32, mean over scales 0.75, 1, '
     'and over mirrored copies, scored at own size, float32')])
def test_a_protocol_in_words(settings, said):
    config = base()
    config.unlock()
    config.update_from_flattened_dict(settings)
    assert in_words(evaluation.describe(config)) == said
