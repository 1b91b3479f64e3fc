"""One reading for all masks of a dataset: what each kind of files means, and which mixtures are refused by name."""

import json
import os

import numpy as np
import pytest
from dataset_trees import data_config
from mask_files import GREEN, RED, TABLE, WHITE, encoded, palette_mask, squares, tiff_of_few_bits, write_dataset
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, label_notes, open_source
from s4mim_jax.data.samples import read_label

IDS = [squares(n) for n in range(4)]
NAMES = '0 background\n1 red\n2 green\n'
BINARY = '0 background\n1 thing\n'


def labels(root, **settings):
    """Labels of train after the walk, each as training and evaluation read it."""
    source = open_source(data_config('folder', root, **settings))
    check_samples(source, source.splits['train'] + source.splits['val'])
    return [read_label(source, sample) for sample in source.splits['train']]


def refused(root, words, **settings):
    with pytest.raises(InputError, match=words) as caught:
        labels(root, **settings)
    assert len(str(caught.value).splitlines()) <= 3


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP'])
def test_sorted_palettes_are_read_by_the_colours_of_classes_txt(tmp_path, kind):
    """Also where some files lost a colour that they do not show, and beside plain colour masks."""
    some = np.where(IDS[1] == 1, 0, IDS[1])
    masks = [palette_mask(IDS[0], (0, 2, 1), kind=kind), palette_mask(some, (0, 2), kind=kind), encoded(TABLE[IDS[2]])]
    suffix = {'PNG': 'png', 'TIFF': 'tif', 'BMP': 'bmp'}[kind]
    root = write_dataset(tmp_path, masks, suffixes=dict.fromkeys((0, 1), suffix))
    same(labels(root), [IDS[0], some, IDS[2]])


def test_a_palette_that_agrees_costs_nothing(tmp_path):
    """Its indices are ids, also where a program has left the place of void, 255, black."""
    ids = [np.where(i == 2, 255, i) if n else i for n, i in enumerate(IDS[:3])]
    colors = TABLE.copy()
    colors[255] = 0
    root = write_dataset(tmp_path, [palette_mask(i, range(256), colors) for i in ids])
    same(labels(root), ids)


@pytest.mark.parametrize('masks, words', [
    # The same index, another colour; and the same colour, another index.
    ([palette_mask(IDS[0], (0, 1, 2)), palette_mask(IDS[1] // 2 * 2, (0, 2)), IDS[2]],
     r'1.png: its palette gives index 1 the colour \(30, 200, 40\), that of \S*0.png gives it \(220, 30, 30\)'),
    ([palette_mask(IDS[0] // 2 * 2, (0, 1, 2)), palette_mask(IDS[1] // 2, (0, 1), TABLE[[0, 2]]), IDS[2]],
     r'1.png: its palette gives the colour \(30, 200, 40\) to index 1, that of \S*0.png to 2')])
def test_palettes_that_contradict_one_another(tmp_path, masks, words):
    refused(write_dataset(tmp_path, masks, NAMES), words)
    same(labels(tmp_path, mask_colors='never')[:1], [np.array(Image.open(tmp_path / 'masks/train/t0.png'))])


def test_a_sorted_palette_of_voc_without_colours_in_classes_txt(tmp_path):
    """Annotation tools paint in VOC's colours: (128, 0, 0) is class 1 and (0, 128, 0) class 2."""
    voc = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
    root = write_dataset(tmp_path, [palette_mask(i, (0, 2, 1), voc) for i in IDS], NAMES)
    refused(root, r'index 1 the colour \(0, 128, 0\), which is that of class 2 \(green\).*\n'
            r'.*list the colours in classes.txt')
    (tmp_path / 'classes.txt').write_text('0 background 0 0 0\n1 red 128 0 0\n2 green 0 128 0\n')
    same(labels(root), IDS)


def test_a_palette_of_ones_own_is_read_by_its_indices(tmp_path):
    mine = np.array([[9, 9, 9], [1, 77, 200], [250, 250, 0]], np.uint8)
    same(labels(write_dataset(tmp_path, [palette_mask(i, (0, 1, 2), mine) for i in IDS])), IDS)


def test_gray_masks_among_colour_masks(tmp_path):
    """Black and white scenes become gray in programs that save with as few channels as will do."""
    table = np.array([[0, 0, 0], GREEN, WHITE], np.uint8)
    lines = '0 background 0 0 0\n1 tree 30 200 40\n2 road 255 255 255\n'
    some = np.where(IDS[1] == 1, 0, IDS[1])
    masks = [encoded(table[IDS[0]]), encoded(table[some][..., 0]), encoded(Image.fromarray(some > 0)),
             encoded(table[IDS[3]])]
    root = write_dataset(tmp_path / 'a', masks, lines)
    same(labels(root), [IDS[0], some, some, IDS[3]])
    refused(write_dataset(tmp_path / 'b', [*masks, IDS[2]], lines), r't4.png: a gray mask among masks that are read by '
            'their colours.*gray level 1, 2 is no colour')


def test_a_colour_mask_among_masks_of_numbers_is_the_odd_one(tmp_path):
    refused(write_dataset(tmp_path, [*IDS, encoded(TABLE[IDS[0]])]),
            r't4.png: mask is a colour image among masks of class ids such as \S*t0.png')


def test_gray_and_palette_masks_that_a_program_made_of_colours(tmp_path):
    """White is class 2 in the palettes; alone in a file it was saved as a gray level or as one bit."""
    table = np.array([[0, 0, 0], GREEN, WHITE], np.uint8)
    lines = '0 background 0 0 0\n1 tree 30 200 40\n2 road 255 255 255\n'
    for number, odd in enumerate((np.where(IDS[1] == 2, 255, 0).astype(np.uint8), Image.fromarray(IDS[1] == 2))):
        masks = [palette_mask(IDS[0], (0, 1, 2), table), encoded(odd), palette_mask(IDS[2], (0, 1, 2), table)]
        root = write_dataset(tmp_path / str(number), masks, lines)
        refused(root, r't1.png: a gray mask beside palette masks .* gray level 255 is the colour of class road')


def test_one_bit_among_eight(tmp_path):
    """White is 1 as stored and 255 as shown: the numbers of the others, or a label_map, say which."""
    bits = [encoded(Image.fromarray(i > 0)) for i in IDS]
    things = [(i > 0).astype(np.uint8) for i in IDS]
    mixed = write_dataset(tmp_path / 'a', [bits[0], things[1] * 255, bits[2], things[3] * 255], BINARY)
    same(labels(mixed, label_map='0:0,255:1'), things)
    refused(mixed, 'label_map=0:0,255:1')
    ids = write_dataset(tmp_path / 'b', [bits[0], things[1], bits[2]], BINARY)
    same(labels(ids), things[:3])
    void = np.where(IDS[1] == 2, 255, IDS[1]).astype(np.uint8)
    open_question = write_dataset(tmp_path / 'c', [bits[0], void, bits[2]], BINARY)
    refused(open_question, r't0.png: a mask of 1 bit a pixel beside masks of 8 bits such as \S*t1.png: is it 1, as '
            'stored, or 255, as shown')
    same(labels(open_question, label_map='0:0,1:1'), [things[0], void, things[2]])


@pytest.mark.parametrize('color, lines, label_map', [
    (WHITE, BINARY, '0:0,255:1'), (WHITE, '0 background 0 0 0\n1 thing 255 255 255\n', '0:0,255:1'),
    (WHITE, '0 background 0 0 0\n1 thing 255 255 255\n', None), (RED, BINARY, '0:0,255:1'), (RED, BINARY, None)])
def test_two_colours_as_palette_and_as_gray(tmp_path, color, lines, label_map):
    """Half of the masks hold 0 and 255, half a palette of two colours: never the one half ignored in silence."""
    two, things = np.array([[0, 0, 0], color], np.uint8), [(i > 0).astype(np.uint8) for i in IDS]
    masks = [palette_mask(t, (0, 1), two) if n % 2 else t * 255 for n, t in enumerate(things)]
    root = write_dataset(tmp_path, masks, lines)
    if color == WHITE and label_map:
        same(labels(root, label_map=label_map), things)
    else:
        refused(root, 'beside 0 is ignored|a gray mask beside palette masks', label_map=label_map)


def test_a_label_map_of_numbers_leaves_colours_alone(tmp_path):
    things, table = [(i > 0).astype(np.uint8) for i in IDS], np.array([[0, 0, 0], WHITE], np.uint8)
    masks = [encoded(table[t]) if n % 2 else t * 255 for n, t in enumerate(things)]
    root = write_dataset(tmp_path, masks, '0 background 0 0 0\n1 thing 255 255 255\n')
    same(labels(root, label_map='0:0,255:1'), things)


def test_one_bit_alone_follows_the_label_map(tmp_path):
    root = write_dataset(tmp_path, [encoded(Image.fromarray(i > 0)) for i in IDS], BINARY)
    for label_map in (None, '0:0,1:1', '0:0,255:1'):
        same(labels(root, label_map=label_map), [i > 0 for i in IDS])


def test_four_bits(tmp_path):
    names = ''.join(f'{i} class{i}\n' for i in range(40))  # 17 and 34, Pillow's numbers, would be classes too
    same(labels(write_dataset(tmp_path, [tiff_of_few_bits(i, 4) for i in IDS], names)), IDS)


def test_gray_masks_that_became_palettes(tmp_path):
    """An optimiser keeps the gray levels that a mask shows and numbers them anew: its index is no id, its gray is."""
    gray = np.stack([np.arange(256, dtype=np.uint8)] * 3, -1)
    some = np.where(IDS[1] == 1, 0, IDS[1])
    masks = [palette_mask(IDS[0], (0, 1, 2), gray), palette_mask(some, (0, 2), gray), IDS[2]]
    root = write_dataset(tmp_path, masks, NAMES)
    same(labels(root), [IDS[0], some, IDS[2]])


def test_transparent_pixels_have_no_class_and_are_told(tmp_path):
    erased = np.dstack([TABLE[IDS[0]], np.where(IDS[0] == 1, 0, 255).astype(np.uint8)])
    root = write_dataset(tmp_path, [encoded(erased), encoded(TABLE[IDS[1]])])
    same(labels(root), [np.where(IDS[0] == 1, 255, IDS[0]), IDS[1]])
    source = open_source(data_config('folder', root))
    table = check_samples(source, source.splits['train'])
    notes = label_notes(source, source.splits['train'], table)
    assert any('16 transparent pixels in 1 masks have no class' in note for note in notes)
    numbers = write_dataset(tmp_path / 'n', [palette_mask(IDS[0], (0, 1, 2), transparency=1), IDS[1]])
    same(labels(numbers, label_map='0:0,1:1,2:2,255:0'), [np.where(IDS[0] == 1, 255, IDS[0]), IDS[1]])


@pytest.mark.parametrize('change, words', [
    (lambda ids: np.where(ids == 1, 7, ids).astype(np.uint8), 'mask values 7 are outside the 3 classes'),
    (lambda ids: ids[:6], '6x16, its image is 12x16'), (lambda ids: TABLE[ids], 'colour image')])
def test_a_remembered_walk_cannot_hide_a_mask(tmp_path, change, words):
    """The same size in bytes and the same time: only who reads the file can tell."""
    from s4mim_jax.config import base
    from s4mim_jax.data.crops import CropReader
    root = write_dataset(tmp_path, IDS, NAMES)
    source = open_source(data_config('folder', root))
    table = check_samples(source, source.splits['train'])
    path = source.splits['train'][0].mask
    (tmp_path / 'masks/train/t0.png').write_bytes(encoded(change(IDS[0])))
    config = base()
    config.data.crop = (8, 8)
    for cache in (None, {}):
        reader = CropReader(source, source.splits['train'], table, config.data, labels=True, cache=cache)
        with pytest.raises(InputError, match=f't0.png.*{words}'):
            reader._render(0, np.zeros((1, 4), np.uint32), np.zeros((12, 16, 3), np.uint8), (0, 0))
        assert reader.failure is not None and os.path.basename(path) in str(reader.failure)


def test_what_a_run_has_settled_holds_for_its_evaluation(tmp_path):
    """Test masks of black and white alone could be numbers; the run has learned that they are colours."""
    table = np.array([[0, 0, 0], GREEN, WHITE], np.uint8)
    lines = '0 background 0 0 0\n1 tree 30 200 40\n2 road 255 255 255\n'
    root = write_dataset(tmp_path, [encoded(table[i]) for i in IDS], lines)
    source = open_source(data_config('folder', root))
    check_samples(source, source.splits['train'])
    record = json.loads(json.dumps(source.masks.record(source)))
    assert record['read_as'] == 'colors'
    road = np.where(IDS[3] == 2, 255, 0).astype(np.uint8)
    (tmp_path / 'masks/val/v3.png').write_bytes(encoded(road))
    source = open_source(data_config('folder', root))
    source.masks.adopt(record)
    check_samples(source, source.splits['val'])
    np.testing.assert_array_equal(read_label(source, source.splits['val'][0]), road // 255 * 2)


def test_palettes_of_a_run_hold_for_its_evaluation(tmp_path):
    mine = np.array([[9, 9, 9], [1, 77, 200], [250, 250, 0]], np.uint8)
    root = write_dataset(tmp_path, [palette_mask(i, (0, 1, 2), mine) for i in IDS], NAMES)
    source = open_source(data_config('folder', root))
    check_samples(source, source.splits['train'])
    record = json.loads(json.dumps(source.masks.record(source)))
    assert record['read_as'] == 'numbers' and record['palette']['2'] == [250, 250, 0]
    some = np.where(IDS[3] == 1, 0, IDS[3])
    (tmp_path / 'masks/val/v3.png').write_bytes(palette_mask(some, (0, 2), mine))
    source = open_source(data_config('folder', root))
    source.masks.adopt(record)
    with pytest.raises(InputError, match=r'v3.png: its palette gives index 1 the colour \(250, 250, 0\)'):
        check_samples(source, source.splits['val'])


def test_a_seeded_split_and_val_must_agree(tmp_path):
    """Train is settled before val is seen; what val says must not turn it round."""
    table = np.array([[0, 0, 0], GREEN, WHITE], np.uint8)
    lines = '0 background 0 0 0\n1 tree 30 200 40\n2 road 255 255 255\n'
    road = [np.where(i == 2, 255, 1).astype(np.uint8) for i in IDS]  # 1 and void, or ... white
    root = write_dataset(tmp_path, [*road, encoded(table[IDS[0]])], lines)
    (tmp_path / 'masks/train/t4.png').unlink()
    source = open_source(data_config('folder', root))
    check_samples(source, source.splits['train'])
    with pytest.raises(InputError, match=r'v4.png: mask is a colour image among masks of class ids'):
        check_samples(source, source.splits['val'])


