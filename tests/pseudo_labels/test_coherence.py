"""The class table of the coherence refinement: hand counts, of label maps and of a run's labelled masks."""

import numpy as np
import pipeline_world
import pytest
import tiny

from s4mim_jax.planning.coherence import with_coherence_table
from s4mim_jax.pseudo_labels import coherence_table


def test_coherence_table_of_a_small_map():
    label = np.array([[0, 0, 1],
                      [0, 0, 1],
                      [255, 2, 1]])
    # Pairs to the four sides. Class 0: 8 same of 11 (two to class 1, one to class 2). Class 1: 4 of 7
    # (two to class 0, one to class 2). Class 2: 0 of 2. Class 3 is absent: 12 of 20.
    table = coherence_table([label], 4, connectivity=4)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, [8 / 11, 4 / 7, 0.0, 12 / 20], rtol=1e-6)


def test_coherence_table_takes_maps_of_any_size_and_may_find_nothing():
    table = coherence_table([np.zeros((2, 2), np.uint8), np.ones((3, 1), np.uint8)], 2)
    np.testing.assert_array_equal(table, [1.0, 1.0])
    np.testing.assert_array_equal(coherence_table([np.full((4, 4), 255, np.uint8)], 3), [0.0] * 3)


def masks_of(fill, grid):
    """A mask uint8 of `fill` whose every third row and fourth column, from the first on, show `grid`."""
    grid = np.array(grid, np.uint8)
    mask = np.full((3 * grid.shape[0], 4 * grid.shape[1]), fill, np.uint8)
    mask[::3, ::4] = grid
    return mask


def run_of(**rule):
    """(config, source, samples): two labelled masks, in a decoder's map of one position every 3 x 4 pixels."""
    masks = [masks_of(2, [[0, 0, 0, 1], [0, 0, 0, 1]]), masks_of(255, [[2, 255, 3, 3]])]
    images = [pipeline_world.encoded(pipeline_world.flat(0, mask.shape)) for mask in masks]
    world = pipeline_world.World(images, [pipeline_world.encoded(mask) for mask in masks])
    # A crop of 6 rows and 32 columns: at stride 4 the decoder's map has 2 and 8.
    config = tiny.config('s4mc', crop=(6, 32))
    config.method.selection.update(dict(refinement='coherence', connectivity=4, resolution='logits') | rule)
    return config, world.source, world.samples


# Same-class pairs of all pairs. Thinned: a block 2 x 3 of class 0 beside a column of two of class 1; the one pixel
# of class 2 has no labelled neighbour, so it gets all classes' share; two of class 3. Whole: 8 lonely pixels, with 26
# neighbours, in 6 x 16 of class 2, which has 340 pairs all in all; class 3 without a pair gets all classes' share.
@pytest.mark.parametrize('rule, expected', [
    (dict(), [14 / 16, 2 / 4, 18 / 22, 1]),
    (dict(connectivity=8), [22 / 26, 2 / 6, 26 / 34, 1]),
    (dict(resolution='full'), [0, 0, (340 - 52) / (340 - 26), (340 - 52) / 340])])
def test_a_runs_table_is_counted_at_the_spacing_of_the_refined_map(rule, expected):
    config, source, samples = run_of(**rule)
    for order in (samples, samples[::-1]):
        found = with_coherence_table(config, source, order).method.selection.coherence
        assert isinstance(found, tuple)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert config.method.selection.coherence == ()  # the given config is left alone


def test_a_table_is_made_only_where_it_is_needed_and_missing():
    for rule in (dict(coherence=(0.1, 0.2, 0.3, 0.4)), dict(refinement='union'), dict(refinement='none')):
        config, source, _ = run_of(**rule)
        assert with_coherence_table(config, source, ()) is config
