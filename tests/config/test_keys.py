"""Keys: what the page says of them is what the code has, and what is not valid is refused."""

import pages
import pytest

from s4mim_jax.config import base, reference
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.keys import KEYS
from s4mim_jax.config.validation import validate


def test_every_key_says_what_it_means():
    assert [key for key, meaning in reference.meanings().items() if not meaning] == []


def test_a_key_says_what_it_means_and_what_is_valid():
    said = reference.meanings()
    assert said['eval.batch'] == 'images at once' and said['total_steps'] == 'optimiser updates'
    assert said['optimizer.b1'] == said['optimizer.b2'] == 'adam family; from 0, below 1'
    assert said['partition'].startswith('jit | shard_map: ') and said['eval.boundary'].endswith('; 0 .. 1')
    assert said['method.tau'].startswith('pseudo-labels at least')
    assert said['method.masks.w_ratio'].startswith('hidden share')


def test_the_page_is_what_the_code_has():
    """Mended by: python -m s4mim_jax.config.reference, between the marks of docs/keys.md."""
    assert pages.between('keys') == reference.table()
    assert len(pages.rows('keys')) == len(reference.leaves(base()))


def outside(key):
    """Values of a Key that are not valid, each of its type, for everything that it says."""
    if key.choices:
        yield 'unheard of' if isinstance(key.default, str) else max(key.choices) + 1
        return
    if key.form:
        yield from ((3,), (0, 4))
    kind = type(key.default) if key.default is not None else key.kind
    wrap = (lambda value: (0.01, float(value))) if key.form == 'pair' else kind
    if key.least is not None:
        yield wrap(key.least - 1)
    if key.most is not None:
        yield wrap(key.most + 1)
    if key.below is not None:
        yield wrap(key.below)


@pytest.mark.parametrize('name', [name for name, key in KEYS.items() if list(outside(key))])
def test_what_a_key_does_not_allow_is_refused_by_its_name(name):
    config = base()
    *group, last = name.split('.')
    node = config
    for part in group:
        node = node[part]
    validate(config)
    for value in outside(KEYS[name]):
        node[last] = value
        with pytest.raises(InputError, match=f'--config.{name}='):
            validate(config)
