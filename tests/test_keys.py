"""The page of keys: every key with its default and a meaning, as the code has them."""

import pages

from s4mim_jax.config import base, reference


def test_every_key_says_what_it_means():
    assert [key for key, meaning in reference.meanings().items() if not meaning] == []


def test_comments_belong_to_their_keys():
    said = reference.meanings()
    assert said['eval.batch'] == 'images at once' and said['total_steps'] == 'optimiser updates'
    assert said['optimizer.b1'] == said['optimizer.b2'] == 'adam family'
    assert said['method.tau'].startswith('pseudo-labels at least')
    assert said['method.masks.w_ratio'].startswith('hidden share')


def test_the_page_is_what_the_code_has():
    """Mended by: python -m s4mim_jax.config.reference, between the marks of docs/keys.md."""
    assert pages.between('keys') == reference.table()
    assert len(pages.rows('keys')) == len(reference.leaves(base()))
