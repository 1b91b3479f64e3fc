"""The rules of `fit`: from a fingerprint to the keys of a config, each with its reason and its source.

A rule is a function (fingerprint, plan) -> settings. `plan` holds what the rules above decided, by dotted key, so their
order matters. TABLE at the end names each with where it comes from: a paper, a file of this project that was searched,
or a measurement. "Ours" without one is a convention that nothing here has measured.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from s4mim_jax.config.encoder_sizes import CONVNEXTS, PATCHES
from s4mim_jax.fitting.fingerprint import Fingerprint

# The network of configs/shapes_start.py.
START = {'model.encoder': 'resnet18', 'model.width': 16, 'model.decoder': 'unet', 'model.unet_widths': (64, 32, 16),
         'model.pretrained': 'package:patterns'}


class Setting(NamedTuple):
    """A key of the config, its value, and why, in a few words."""

    key: str
    value: Any
    why: str


class Rule(NamedTuple):
    decide: Callable[[Fingerprint, dict], list[Setting]]
    source: str


LONG_SIDE = {'cpu': 240, 'gpu': 512, 'tpu': 512}  # of the network's input
CROP_PIXELS = {'cpu': 160 * 160, 'gpu': 512 * 512, 'tpu': 512 * 512}
SMALL_IMAGE = 128  # long side; gentler views and scales
RELATIVE_STEP = {'supervised': 1.0, 'fixmatch_ema': 1.85, 'fixmatch': 2.31, 'unimatch': 3.57}  # of labelled-only
CALIBRATION_SHARE, CALIBRATION_STEPS, METHOD_STEPS = 0.25, 1000, 4000  # of the time; at most so many updates
CALIBRATION_LATE = 0.25  # of its share: the method can give so much, and a new plan costs a start
FEWEST_METHOD_STEPS = 300  # below them the whole time is better spent on labelled-only training
WORTH_MORE = 0.1  # of a labelled-only training: fewer further updates are not worth a start
SMALL_TAU = (0.95, 0.9, 0.8, 0.7, 0.6)
UNEQUAL = 10  # times the pixels of the rarest class: from there on the largest one drowns it
KEPT = 0.5  # share of the pixels of a class, mean over the classes, that should pass tau at the beginning
PREFERRED = {'cpu': ('mobilenet_v2', 'resnet18', 'resnet34', 'resnet50', 'dinov2_vits14', 'dinov3_vits16'),
             'gpu': ('dinov3_vitb16', 'dinov2_vitb14', 'dinov3_vits16plus', 'dinov3_vits16', 'dinov2_vits14',
                     'dinov3_convnext_tiny', 'resnet101', 'resnet50', 'resnet34', 'resnet18', 'mobilenet_v2')}


def pixels(found: Fingerprint, plan: dict) -> list[Setting]:
    form, settings = found.pixels, []
    if form.channels != 3:
        settings.append(Setting('data.channels', form.channels, f'the images have {form.channels} channel(s)'))
    if form.value_range:
        settings.append(Setting('data.value_range', form.value_range, 'most raw values lie in it'))
    if form.mean:
        settings += [Setting('data.mean', form.mean, 'measured'), Setting('data.std', form.std, 'measured')]
    if found.label_map:
        settings.append(Setting('data.label_map', found.label_map, 'the masks hold 0 and 255 alone: two classes'))
    return settings


def validation(found: Fingerprint, plan: dict) -> list[Setting]:
    if not found.held_out:
        return []
    return [Setting('data.val', 'seeded:1/5', f'there is no val: {found.held_out} labelled images are held out')]


def encoder(found: Fingerprint, plan: dict) -> list[Setting]:
    order = PREFERRED['cpu' if found.platform == 'cpu' else 'gpu']
    known = {weights.encoder: weights for weights in reversed(found.weights)}
    name = next((name for name in order if name in known), None)
    narrow = [Setting('model.decoder_width', 64, 'a light head for few labels'),
              Setting('model.low_level_width', 24, 'likewise')]
    if name is None and plan.get('model.encoder', START['model.encoder']) == START['model.encoder']:
        return [Setting(key, value, 'no other pretrained file at hand: the start that comes with the package')
                for key, value in START.items()]
    if name is None:
        return narrow
    settings = [Setting('model.encoder', name, 'the pretrained file at hand that suits this machine best'),
                Setting('model.pretrained', known[name].path, 'few labels gain most from pretrained weights')]
    settings += [Setting(f'model.{key}', value, 'what this file was trained with') for key, value in
                 known[name].settings]
    if name in PATCHES:
        return [*settings, Setting('model.decoder', 'dpt', 'the decoder of the ViT recipes')]
    if name in CONVNEXTS:
        return [*settings, *narrow]
    return [*settings, *narrow,
            Setting('model.freeze_norm', True, 'statistics of few images are worse than ImageNet\'s')]


def size(found: Fingerprint, plan: dict) -> list[Setting]:
    limit, (height, width) = LONG_SIDE[found.platform], found.size
    long, (narrow, wide) = max(height, width), found.aspects
    settings = []
    if found.sizes > 1:
        settings.append(Setting('eval.multiple', 32, f'{found.sizes} image sizes share compiled programs'))
    factor = limit / long
    if found.finest * min(height, width) * factor < 2.0:  # vanishes between the positions of the finest map
        factor = min(2 * factor, 1.0)
    if factor >= 0.7:
        return settings
    if wide / narrow > 1.25:
        return [*settings, Setting('eval.mode', 'sliding', 'large images of different shapes: windows')]
    shape = tuple(max(4, round(side * factor / 4) * 4) for side in (height, width))
    return [*settings, Setting('data.resize', shape, f'{height} x {width} is more than a {found.platform} trains on in '
                               'the time')]


def crop(found: Fingerprint, plan: dict) -> list[Setting]:
    seen = plan.get('data.resize', found.size)
    multiple = PATCHES.get(plan['model.encoder'], 32)
    small = max(seen) <= SMALL_IMAGE
    sides = [0.7 * side for side in seen]
    shrink = min(1.0, math.sqrt(CROP_PIXELS[found.platform] / (sides[0] * sides[1])))
    least = math.ceil(64 / multiple)
    whole = [max(side // multiple, 1) for side in seen] if small else [math.inf, math.inf]  # no padding of small images
    shape = tuple(min(max(round(side * shrink / multiple), least), most) * multiple
                  for side, most in zip(sides, whole))
    why = (f'about two thirds of {seen[0]} x {seen[1]}' if shrink == 1.0 else
           f'of {seen[0]} x {seen[1]}, as much as a {found.platform} trains on in the time')
    settings = [Setting('data.crop', shape, why)]
    return settings + [Setting('data.scale', (0.75, 1.5), 'gentler for small images')] * small


def aspp(found: Fingerprint, plan: dict) -> list[Setting]:
    if plan.get('model.decoder') in ('dpt', 'unet'):
        return []
    side = min(plan['data.crop']) // 16
    rates = tuple(rate for rate in (6, 12, 18) if rate < side)
    if rates == (6, 12, 18):
        return []
    rates = (2, 4, 6) if side <= 6 else (3, 6, 9) if side < 13 else rates
    return [Setting('model.aspp_rates', tuple(r for r in rates if r < side) or (1, 2),
                    f'below {side}, the side of the map at stride 16')]


def batch(found: Fingerprint, plan: dict) -> list[Setting]:
    images = max(8, found.devices) + -max(8, found.devices) % found.devices
    why = 'the batch of the recipes' + (f', made to divide among {found.devices} devices' if images != 8 else '')
    return [Setting('batch.labeled', images, why), Setting('batch.unlabeled', images, 'likewise')]


def optimizer(found: Fingerprint, plan: dict) -> list[Setting]:
    if plan['model.encoder'] in (*PATCHES, *CONVNEXTS):
        return [Setting('optimizer.learning_rate', 2e-5, 'fine-tuning a large pretrained network in a short time'),
                Setting('optimizer.head_multiplier', 20.0, 'the head is new'),
                Setting('optimizer.weight_decay', 0.01, 'the recipe\'s')]
    if plan.get('model.pretrained') == START['model.pretrained']:
        return [Setting('optimizer.learning_rate', 3e-3, 'that of the start'),
                Setting('optimizer.schedule', 'cosine', 'likewise')]
    if plan.get('model.pretrained'):
        return [Setting('optimizer.learning_rate', 5e-4, 'fine-tuning'),
                Setting('optimizer.head_multiplier', 4.0, 'the head is new'),
                Setting('optimizer.weight_decay', 0.01, 'few labels')]
    return [Setting('optimizer.learning_rate', 3e-3, 'from scratch'),
            Setting('optimizer.schedule', 'cosine', 'likewise')]


def views(found: Fingerprint, plan: dict) -> list[Setting]:
    if max(found.size) > SMALL_IMAGE:
        return []
    why = 'gentler for small images'
    color = [('saturation', 0.25), ('hue', 0.05), ('grayscale_probability', 0.05)] if found.pixels.channels == 3 else []
    return [Setting(f'views.{key}', value, why) for key, value in (
        ('brightness', 0.25), ('contrast', 0.25), *color, ('blur_probability', 0.2), ('blur_sigma', (0.1, 1.0)))] + [
            Setting('method.cutmix.probability', 1.0, 'as the configs of small images')]


def class_weights(found: Fingerprint, plan: dict) -> list[Setting]:
    rarest, largest = min((share for share in found.shares if share), default=1.0), max(found.shares)
    if rarest >= 0.02 or largest < UNEQUAL * rarest:
        return []
    return [Setting('method.class_balance', 'effective', f'the rarest class has {100 * rarest:.2g} % of the labelled '
                    f'pixels, the largest {100 * largest:.0f} %')]


def method(found: Fingerprint, plan: dict) -> list[Setting]:
    if not found.unlabelled:
        return [Setting('METHOD', 'supervised', 'every image is labelled')]
    return [Setting('METHOD', 'fixmatch_ema', f'{found.unlabelled} unlabelled images teach too; the cheapest method '
                    'that gained in the tables')]


TABLE = (
    Rule(pixels, 'docs/own_images.md; the range and its percentiles: ours'),
    Rule(validation, 'a fifth, as the folds of nnU-Net (Isensee et al. 2021); which images: data/held_out.py'),
    Rule(encoder, 'configs/camvid.py and configs/shapes_start.py; freeze_norm: benchmarks/results/camvid.json has it'),
    Rule(size, 'configs/camvid.py: 360 x 480 at 180 x 240 on a CPU; 512: the crops of the V2 recipes (recipes.py)'),
    Rule(crop, 'configs/camvid.py: 128 x 160 of 180 x 240; configs/shapes_start.py: 64 x 64 of 96 x 96, half the time'),
    Rule(aspp, 'Chen et al. 2017: a rate as wide as the map leaves one tap; configs/shapes.py: 2, 4, 6'),
    Rule(batch, 'recipes.py, all V1 recipes'),
    Rule(optimizer, 'configs/camvid.py; configs/shapes_start.py (searches.json: 3e-3 before 1e-3); ViT: recipes.py, '
         'raised for short runs (ours)'),
    Rule(views, 'configs/shapes.py and shapes_start.py (searches.json: gentler views before the published ones)'),
    Rule(class_weights, 'Cui et al. 2019; benchmarks/results/searches.md: 3.5 and 3.9 points on val of shapes, 2.4 on '
         'that of CamVid; from which shares on: ours'),
    Rule(method, 'benchmarks/results/camvid.json: .491 beside .474 labelled-only; the cost: step_camvid.json there'),
)


def decide(found: Fingerprint, fixed: dict[str, Any] | None = None) -> list[Setting]:
    """All settings, in the order of the table.

    Args:
      found: of the dataset and the machine. fixed: dotted key -> value that the user chose; no rule changes those.
    """
    plan, settings = dict(fixed or {}), []
    for rule in TABLE:
        for setting in rule.decide(found, plan):
            if setting.key not in (fixed or {}):
                plan[setting.key] = setting.value
                settings.append(setting)
    return settings


def calibration_steps(seconds: float, step: float) -> int:
    """Updates of the labelled-only calibration.

    Args:
      seconds: for both trainings. step: measured seconds of a labelled-only update.
    """
    return max(20, min(int(CALIBRATION_SHARE * seconds / step), CALIBRATION_STEPS))


def method_steps(seconds: float, step: float, name: str) -> int:
    """Updates of the method in the time that is left, given the measured step of labelled-only training."""
    return min(int(seconds / (step * relative_step(name))), METHOD_STEPS)


def relative_step(name: str) -> float:
    """Time of a method's update, in labelled-only ones; of a method that was not measured that of a dear one."""
    return RELATIVE_STEP.get(name.partition(',')[0], 4.0)


def threshold(kept: dict[float, float]) -> float:
    """tau: the highest of SMALL_TAU that keeps KEPT of the pixels of a class, or the lowest.

    Args:
      kept: tau -> share of the pixels of a predicted class whose confidence reaches it, mean over the classes.
    """
    return next((tau for tau in SMALL_TAU if kept[tau] >= KEPT), SMALL_TAU[-1])
