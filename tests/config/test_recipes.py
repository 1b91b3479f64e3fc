"""Every recipe with its resolved values, against the published tables restated here."""

import re

import pages
import pytest

from configs import ade20k, camvid, cityscapes, coco, voc
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.keys import KEYS
from s4mim_jax.config.methods import _methods
from s4mim_jax.config.recipes import Training, choose
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluation import MODES
from s4mim_jax.training.optimizer import base_learning_rate

CONFIGS = {'voc': voc, 'cityscapes': cityscapes, 'ade20k': ade20k, 'coco': coco}
V1 = {'optimizer.name': 'sgd', 'optimizer.momentum': 0.9, 'optimizer.weight_decay': 1e-4, 'model.encoder': 'resnet50',
      'model.stem': 'deep', 'model.decoder': 'deeplabv3plus', 'model.output_stride': 16,
      'model.aspp_rates': (6, 12, 18),
      'model.decoder_width': 256, 'model.low_level_width': 48, 'method.cutmix.partner': 'self_view'}
V2 = {'optimizer.name': 'adamw', 'optimizer.b1': 0.9, 'optimizer.b2': 0.999, 'optimizer.weight_decay': 0.01,
      'model.encoder': 'dinov2_vits14', 'model.decoder': 'dpt', 'method.cutmix.partner': 'batch'}
BOTH = {'optimizer.schedule': 'poly', 'optimizer.power': 0.9, 'optimizer.warmup_steps': 0, 'optimizer.clip_norm': None,
        'model.align_corners': True, 'precision': 'auto', 'data.scale': (0.5, 2.0), 'data.flip': True,
        'views.jitter_probability': 0.8, 'views.brightness': 0.5, 'views.contrast': 0.5, 'views.saturation': 0.5,
        'views.hue': 0.25, 'views.grayscale_probability': 0.2, 'views.blur_probability': 0.5,
        'views.blur_sigma': (0.1, 2.0), 'method.cutmix.probability': 0.5, 'method.cutmix.area': (0.02, 0.4),
        'method.cutmix.aspect': (0.3, 1 / 0.3), 'eval.scales': (1.0,), 'eval.flip': False}
# config, method, split:
# crop, batch of each kind, epochs, unlabelled images, rate, head multiplier, loss, tau, evaluation
TABLE = {
    ('voc', 'unimatch', '92'): (321, 8, 80, 10_490, 1e-3, 10, 'ce', 0.95, 'whole'),
    ('voc', 'unimatch', '1464'): (321, 8, 80, 9_118, 1e-3, 10, 'ce', 0.95, 'whole'),
    ('voc', 'unimatch', 'u2pl_1_8'): (513, 8, 80, 9_259, 1e-3, 10, 'ce', 0.95, 'whole'),
    ('voc', 'unimatch_v2', '92'): (518, 16, 60, 10_490, 5e-6, 40, 'ce', 0.95, 'whole'),
    ('cityscapes', 'unimatch', '1_16'): (801, 8, 240, 2_789, 5e-3, 1, 'ohem', 0.0, 'sliding'),
    ('cityscapes', 'unimatch_v2', '1_30'): (798, 8, 180, 2_875, 5e-6, 40, 'ohem', 0.95, 'sliding'),
    ('ade20k', 'unimatch_v2', '1_32'): (518, 8, 60, 19_578, 5e-6, 40, 'ce', 0.95, 'whole'),
    ('coco', 'unimatch', '1_512'): (513, 8, 30, 118_055, 4e-3, 10, 'ce', 0.95, 'whole'),
    ('coco', 'unimatch_v2', '1_512'): (518, 16, 20, 118_055, 5e-6, 40, 'ce', 0.95, 'whole'),
}


def value(config, dotted):
    for part in dotted.split('.'):
        config = config[part]
    return config


@pytest.mark.parametrize('row', TABLE, ids='-'.join)
def test_resolved_values_are_the_published_ones(row):
    name, method, split = row
    crop, batch, epochs, images, rate, heads, loss, tau, mode = TABLE[row]
    config = CONFIGS[name].get_config(f'{method},split={split}')
    validate(config)
    expected = (V2 if method == 'unimatch_v2' else V1) | BOTH | {
        'data.crop': (crop, crop), 'data.split': split, 'batch.labeled': batch, 'batch.unlabeled': batch,
        'batch.accumulate': 1, 'optimizer.reference_batch': batch, 'optimizer.learning_rate': rate,
        'optimizer.head_multiplier': heads, 'method.supervised_loss': loss, 'method.tau': tau, 'eval.mode': mode,
        'total_steps': epochs * (images // batch)}
    found = {key: value(config, key) for key in expected}
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()} == expected
    assert base_learning_rate(config) == rate
    if loss == 'ohem':  # 200,000 of two images of 801 x 801
        assert (config.method.ohem_threshold, config.method.ohem_keep) == (0.7, round(200_000 / (2 * 801**2), 3))


@pytest.mark.parametrize('name', CONFIGS)
def test_every_method_has_both_recipes(name):
    methods = _methods(CONFIGS[name].__file__)
    assert {'supervised', 'fixmatch', 'unimatch', 'unimatch_v2',
            's4mc', 'maskmatch', 'masksup', 's4mim', 'union'} <= set(methods)
    for method in methods:
        for recipe, encoder in (('v1', 'resnet50'), ('v2', 'dinov2_vits14')):
            config = CONFIGS[name].get_config(f'{method},recipe={recipe}')
            validate(config)
            assert config.model.encoder == ('unet' if method == 'masksup_unet' else encoder), method
            assert config.method.name == method


def test_the_method_chooses_its_recipe_and_a_setting_comes_last():
    arguments = ('union', 'unimatch_v2', 'unimatch_v2,recipe=v1', 'union,recipe=v2')
    assert [voc.get_config(argument).data.crop for argument in arguments] == [
        (321, 321), (518, 518), (321, 321), (518, 518)]
    config = cityscapes.get_config('unimatch,tau=0.9,crop=(401, 401),total_steps=7')
    assert (config.method.tau, config.data.crop, config.total_steps) == (0.9, (401, 401), 7)


@pytest.mark.parametrize('module, argument, message', [
    (voc, 'unimatch,recipe=v3', 'recipe=v3: unknown\nvalid: v1, v2'),
    (camvid, 'unimatch,recipe=v1', 'recipe=v1 in .*no recipes are published'),
    (voc, 'unimatch,hardware=12gb', 'hardware=12gb: unknown\nvalid: 16gb, 24gb, 40gb, 80gb'),
    (voc, 'unimatch,hardware', "'hardware' after the method has no value"),
])
def test_wrong_names_are_refused(module, argument, message):
    with pytest.raises(InputError, match=message):
        module.get_config(argument)


def test_labelled_images_of_a_split():
    training = Training(1000, {'92': 92})
    counts = {'92': 92, '1_16': 62, 'u2pl_1_8': 125, 'seeded:1/4': 250, 'all': 0, 'mine': 0, 'blender_1_4': 250}
    assert {split: training.count(split) for split in counts} == counts
    assert choose(voc.PUBLISHED, None, 'fixmatch')[0] == 'v1' and choose(voc.PUBLISHED, None, 'unimatch_v2')[0] == 'v2'


def test_the_table_of_the_page_is_what_the_configs_give():
    expected = []
    for name, module in CONFIGS.items():
        for recipe, method in (('v1', 'unimatch'), ('v2', 'unimatch_v2')):
            c = module.get_config(method)
            o = c.optimizer
            expected.append([f'`{name}`', f'`{recipe}`', str(c.data.crop[0]),
                             f'{c.batch.labeled} + {c.batch.unlabeled}', f'{c.total_steps:,} ({c.data.split})',
                             f'{o.name} {o.learning_rate:g} x {o.head_multiplier:g}',
                             c.method.supervised_loss, str(c.method.tau), c.eval.mode])
    assert pages.rows('recipes') == expected


def test_the_protocols_of_the_page_are_those_there_are():
    keys = [key for row in pages.rows('protocols') for key in re.findall(r'`eval\.(\w+)`', row[0])]
    assert set(keys) == set(base().eval) - {'every', 'split', 'batch'}
    modes = [row[1].strip('`') for row in pages.rows('protocols') if row[0] in ('`eval.mode`', '')]
    assert tuple(modes) == MODES == KEYS['eval.mode'].choices
