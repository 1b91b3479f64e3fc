"""The evaluation stream: every image once, at the network's size, with its label at its own."""

import numpy as np
import pytest
from PIL import Image
from pipeline_world import World, config, encoded, flat, photograph

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import evaluation_batches, network_size


def evaluated(world, c, **options):
    return list(evaluation_batches(world.source, world.samples, c, table=world.table, **options))


def settings(batch=3, **data):
    c = config(**data)
    c.eval.batch = batch
    return c


def of_sizes(*sizes):
    """Images of these sizes; the mask of image n is n all over."""
    return World([encoded(photograph(size, n)) for n, size in enumerate(sizes)],
                 [encoded(np.full(size, n, np.uint8)) for n, size in enumerate(sizes)],
                 classes=len(sizes))


@pytest.mark.parametrize('count,batch,processes', [(7, 3, 1), (6, 3, 1), (1, 4, 1), (7, 2, 3), (2, 2, 3)])
def test_every_image_once_whether_or_not_the_count_divides(count, batch, processes):
    world, ids, batches = of_sizes(*[(8, 10)] * count), [], 0
    for process in range(processes):
        for values in evaluated(world, settings(batch), process_index=process, process_count=processes):
            valid = values['valid']
            assert len(valid) == len(values['id']) == len(values['image']) == batch
            ids += [name for name, real in zip(values['id'], valid) if real]
            shown = values['label'][:, 0, 0]
            assert shown[valid].tolist() == [int(name) for name, real in zip(values['id'], valid) if real]
            assert (values['label'][~valid] == 255).all() and (values['size'][~valid] == 0).all()
            assert (values['image'][~valid] == 0).all() and valid.any()
            batches += 1
    assert sorted(ids) == sorted(sample.id for sample in world.samples)
    if processes == 1:
        assert ids == [sample.id for sample in world.samples] and batches == -(-count // batch)


def test_images_of_one_size_share_batches_in_any_order():
    world = of_sizes((8, 10), (70, 64), (8, 10), (8, 10), (70, 64))
    batches = evaluated(world, settings(batch=2))
    assert [values['id'] for values in batches] == [['0', '2'], ['3', ''], ['1', '4']]
    assert [values['image'].shape for values in batches] == [(2, 8, 10, 3)] * 2 + [(2, 70, 64, 3)]
    assert [values['label'].shape for values in batches] == [(2, 64, 64)] * 2 + [(2, 128, 64)]
    for values in batches:
        for name, label, (height, width) in zip(values['id'], values['label'], values['size']):
            expected = np.full(label.shape, 255)
            if name:
                assert (height, width) == ((70, 64) if name in '14' else (8, 10))
                expected[:height, :width] = int(name)
            np.testing.assert_array_equal(label, expected)


def test_resized_images_of_different_sizes_share_what_they_can():
    world = of_sizes((60, 50), (64, 64), (50, 60))
    values, = evaluated(world, settings(batch=3, resize=(16, 20)))
    assert values['id'] == ['0', '1', '2'] and values['size'].tolist() == [[60, 50], [64, 64], [50, 60]]
    for image, size, n in zip(values['image'], ((60, 50), (64, 64), (50, 60)), range(3)):
        pillow = Image.fromarray(photograph(size, n)).resize((20, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(image, np.asarray(pillow))


def test_one_size_needs_no_canvas_and_own_size_is_untouched():
    values, = evaluated(of_sizes((9, 11), (9, 11)), settings(batch=2))
    assert values['label'].shape == (2, 9, 11)
    for n in range(2):
        np.testing.assert_array_equal(values['image'][n], photograph((9, 11), n))


def test_processes_agree_on_the_canvas_though_each_sees_one_size():
    world = of_sizes((8, 10), (9, 11), (8, 10), (9, 11))
    shapes = [values['label'].shape for process in range(2)
              for values in evaluated(world, settings(), process_index=process, process_count=2)]
    assert shapes == [(3, 64, 64)] * 2


@pytest.mark.parametrize('own,resize,multiple,expected', [
    ((360, 480), None, 1, (360, 480)), ((360, 480), (180, 240), 1, (180, 240)),
    ((375, 500), None, 14, (378, 504)), ((375, 500), (321, 321), 16, (320, 320)),
    ((3, 7), None, 14, (14, 14)), ((21, 35), None, 14, (28, 42))])
def test_network_size(own, resize, multiple, expected):
    c = settings(resize=resize) if resize else settings()
    c.eval.multiple = multiple
    assert network_size(own, c) == expected


def test_turned_deep_and_gray_images_and_masks_through_the_lookup():
    lookup = np.full(256, 255, np.uint8)
    lookup[9] = 1
    pixels = photograph((12, 18))
    turned = encoded(pixels, orientation=6)
    deep = encoded(pixels[..., 0].astype(np.uint16) * 257)
    mask = np.full((12, 18), 9, np.uint8)
    mask[0] = 8
    world = World([turned, deep, encoded(flat(3, (12, 18)))], [encoded(mask), encoded(mask), None], lookup)
    values, = evaluated(world, settings())
    np.testing.assert_array_equal(values['image'][0], pixels)
    np.testing.assert_array_equal(values['image'][1], np.repeat(pixels[..., :1], 3, 2))
    for n in range(2):
        assert (values['label'][n, 0] == 255).all() and (values['label'][n, 1:] == 1).all()
    assert (values['label'][2] == 255).all() and values['valid'].all()


def test_bad_input_is_named():
    world = of_sizes((8, 10), (8, 10))
    with pytest.raises(InputError, match='config.eval.batch=0'):
        evaluated(world, settings(batch=0))
    world.files['m1'] = b'gone'
    with pytest.raises(InputError, match='m1'):
        evaluated(world, settings())
