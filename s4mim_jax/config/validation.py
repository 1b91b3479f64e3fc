"""Checks a whole config once, before anything is built or written."""

from s4mim_jax import terms
from s4mim_jax.config.encoder_sizes import nearest_multiple, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.keys import base
from s4mim_jax.config.methods import WEIGHTINGS
from s4mim_jax.data.files.pixel_format import pixel_format
from s4mim_jax.terms import weights
from s4mim_jax.views.table import views_of

CHOICES = {
    'precision': ('auto', 'float32', 'bfloat16'),
    'partition': ('jit', 'shard_map'),
    'optimizer.name': ('sgd', 'adamw', 'adam', 'amsgrad'),
    'optimizer.schedule': ('poly', 'cosine', 'constant'),
    'method.teacher.kind': ('self', 'ema'),
    'method.teacher.batch_stats': ('copy', 'ema'),
    'method.cutmix.partner': ('self_view', 'batch', 'independent'),
    'method.weighting': WEIGHTINGS,
    'data.mask_colors': ('auto', 'always', 'never'),
    'method.selection.refinement': ('none', 'union', 'coherence'),
    'method.selection.threshold': ('confidence', 'margin', 'partition'),
    'method.selection.scope': ('global', 'image'),
    'method.selection.resolution': ('logits', 'full'),
    'method.selection.connectivity': (4, 8),
    'method.selection.matched': ('none', 'unrefined', 'single_scale'),
    'method.masks.statistics': ('batch', 'running'),
    'method.masks.loss_on': ('all', 'visible', 'hidden'),
    'method.masks.input_scope': ('all', 'class_sampled'),
    'eval.mode': ('whole', 'sliding', 'center_crop'),
    'eval.split': ('train', 'val', 'test'),
}
AT_LEAST = {
    'total_steps': 1, 'batch.labeled': 1, 'batch.unlabeled': 1, 'batch.accumulate': 1,
    'optimizer.reference_batch': 1, 'optimizer.warmup_steps': 0, 'eval.every': 0, 'eval.batch': 1,
    'eval.multiple': 1, 'checkpoint.every': 0, 'log.every': 1, 'log.images': 0, 'model.width': 1,
    'optimizer.learning_rate': 0.0, 'optimizer.weight_decay': 0.0, 'optimizer.head_multiplier': 0.0,
    'optimizer.clip_norm': 0.0, 'method.selection.decay': 0.0, 'method.masks.patch': 1,
}
SHARES = ('method.tau', 'method.cutmix.probability', 'method.teacher.decay', 'method.teacher.half_life',
          'views.jitter_probability', 'views.hue', 'method.selection.tau_margin', 'method.selection.alpha',
          'method.selection.alpha_end', 'eval.boundary',
          'views.grayscale_probability', 'views.blur_probability', 'optimizer.momentum', 'optimizer.b1', 'optimizer.b2')
SIZES = ('data.crop', 'data.resize', 'eval.window')
KINDS = ('grid', 'freeform')  # of masks
RANGES = ('data.scale', 'views.blur_sigma', 'method.cutmix.area', 'method.cutmix.aspect', 'method.masks.freeform')


def read(config, dotted: str):
    """The value at a dotted key."""
    node = config
    for part in dotted.split('.'):
        node = node[part]
    return node


def validate(config) -> None:
    """Raises InputError with the key, its value and what is valid; returns None when all is well."""
    for key, valid in CHOICES.items():
        if read(config, key) not in valid:
            _refuse(config, key, 'valid: ' + ', '.join(map(str, valid)))
    for key, least in AT_LEAST.items():
        value = read(config, key)
        if value is not None and not value >= least:
            _refuse(config, key, f'must be at least {least}')
    for key in SHARES:
        value = read(config, key)
        if value is not None and not 0.0 <= value <= 1.0:
            _refuse(config, key, 'must lie in 0 .. 1')
    for key in SIZES:
        size = read(config, key)
        if size is not None and (len(size) != 2 or not all(isinstance(s, int) and s > 0 for s in size)):
            _refuse(config, key, 'must be (height, width), two positive integers')
    multiple = size_multiple(config.model)
    if any(side % multiple for side in config.data.crop):
        near = tuple(nearest_multiple(side, multiple) for side in config.data.crop)
        _refuse(config, 'data.crop', f'{config.model.encoder} takes multiples of its patch, {multiple} pixels, '
                f'such as {near}')
    for key in RANGES:
        pair = read(config, key)
        if len(pair) != 2 or not all(isinstance(v, (int, float)) for v in pair) or not 0 < pair[0] <= pair[1]:
            _refuse(config, key, 'must be (low, high) with 0 < low <= high')
    _validate_pixels(config)
    if config.method.masks.freeform[1] >= 1:
        _refuse(config, 'method.masks.freeform', 'hidden shares, below 1')
    _validate_terms(config)
    _validate_slots(config)
    if config.method.cutmix.area[1] > 1:
        _refuse(config, 'method.cutmix.area', 'shares of the image, at most 1')
    if not 0 <= config.seed < 2**32:
        _refuse(config, 'seed', 'must lie in 0 .. 2**32 - 1')
    for key in ('optimizer.b1', 'optimizer.b2', 'optimizer.momentum'):
        if read(config, key) == 1:
            _refuse(config, key, 'must be below 1')
    for key, held in (('freeze_norm', 'BatchNorm at the statistics'), ('freeze_encoder', 'the encoder at the values')):
        if config.model[key] and not config.model.pretrained:
            raise InputError(f'--config.model.{key}=true holds {held} of pretrained weights, '
                             'but --config.model.pretrained is None\n'
                             f'name a weights file, or set --config.model.{key}=false')
    if not terms.active(config.method):
        raise InputError('every loss term of config.method has weight 0: nothing to train\n'
                         f'terms: {", ".join(terms.terms_of(config.method))}')
    if config.method.complementary_dropout and config.method.consistency and config.method.strong_views != 2:
        _refuse(config, 'method.complementary_dropout', 'needs method.strong_views=2')
    if config.partition == 'shard_map' and config.mesh.fsdp > 1:
        _refuse(config, 'mesh.fsdp', 'parameters are cut along fsdp under partition=jit only')


def _validate_terms(config) -> None:
    """The keys that terms bring, and the views that they ask for."""
    for name, term in terms.terms_of(config.method).items():
        for dotted, key in terms.keys(name, term).items():
            fault = key.fault(read(config, f'method.{dotted}'))
            if fault:
                _refuse(config, f'method.{dotted}', fault)
        points = config.method[f'{name}_schedule']
        if weights.fault(points):
            _refuse(config, f'method.{name}_schedule', weights.fault(points))
        if points and config.method[f'{name}_ramp']:
            _refuse(config, f'method.{name}_ramp', f'method.{name}_schedule says already how the weight changes')
    for name, term in terms.active(config.method).items():
        unknown = [view for view in term.needs(config.method) if view not in views_of(config.method)]
        if unknown:
            raise InputError(f'the term {name} needs the view {unknown[0]!r}, which the table of views does not have\n'
                             f'valid: {", ".join(views_of(config.method))}')


def _validate_pixels(config) -> None:
    """Channels of the images with their statistics, and class weights."""
    channels = pixel_format(config.data).channels
    for key in ('mean', 'std'):
        values = config.data[key]
        if values is not None and (len(values) != channels or not all(isinstance(v, (int, float)) for v in values)):
            _refuse(config, f'data.{key}', f'a number for each of the {channels} channel(s), on the scale 0..1')
    if config.data.std is not None and not all(v > 0 for v in config.data.std):
        _refuse(config, 'data.std', 'must be above 0')
    if not all(isinstance(v, (int, float)) and v >= 0 for v in config.method.class_weights):
        _refuse(config, 'method.class_weights', 'a number from 0 on for each class, such as (1, 2.5)')


def _validate_slots(config) -> None:
    """The teacher and the selection slot, and which masked copies are asked for."""
    rows = views_of(config.method)
    copies, strong = rows.copies, len(rows.strong)
    if not 1 <= config.method.strong_views <= strong:
        _refuse(config, 'method.strong_views', f'1 to {strong}, the strong views of the table of views')
    scales = tuple(config.method.teacher.scales)
    if 1.0 not in scales or len(set(scales)) < len(scales) or not all(
            isinstance(s, (int, float)) and s > 0 for s in scales):
        _refuse(config, 'method.teacher.scales',
                'different positive numbers with 1 among them, such as (0.75, 1.0, 1.25)')
    rule = config.method.selection
    if rule.matched == 'unrefined' and rule.refinement == 'none':
        _refuse(config, 'method.selection.matched', 'needs a method.selection.refinement to match')
    if rule.matched == 'single_scale' and (rule.threshold != 'confidence' or len(scales) == 1):
        _refuse(config, 'method.selection.matched', 'needs method.selection.threshold=confidence and '
                'several method.teacher.scales')
    _refuse_ignored(config, rule)
    neighborhood = rule.window ** 2 - 1 if rule.connectivity == 8 else 2 * (rule.window // 2) * (rule.window // 2 + 1)
    if rule.window < 3 or rule.window % 2 == 0:
        _refuse(config, 'method.selection.window', 'an odd number from 3 on')
    if not 1 <= rule.neighbors <= neighborhood:
        _refuse(config, 'method.selection.neighbors', f'1 to {neighborhood} in this window')
    for mask in copies:
        if config.method.masks[f'{mask}_kind'] not in KINDS:
            _refuse(config, f'method.masks.{mask}_kind', 'valid: ' + ', '.join(KINDS))
        if not 0.0 <= config.method.masks[f'{mask}_ratio'] <= 1.0:
            _refuse(config, f'method.masks.{mask}_ratio', 'must lie in 0 .. 1')
    for key in ('method.mim.views', 'method.mim.semantic_views'):
        views = tuple(read(config, key))
        if not views or len(set(views)) < len(views) or not set(views) <= set(copies):
            _refuse(config, key, f'one or more of {tuple(copies)}, the masks of the table of views')


# Key of method.selection -> (another key of it, the values under which the first has an effect).
_EFFECTIVE = {
    'refinement': ('threshold', ('margin', 'partition')),
    **dict.fromkeys(('alpha', 'alpha_end', 'scope'), ('threshold', ('partition',))),
    'tau_margin': ('threshold', ('margin',)),
    **dict.fromkeys(('window', 'connectivity', 'neighbors', 'decay'), ('refinement', ('union', 'coherence'))),
    'coherence': ('refinement', ('coherence',)),
}


def _refuse_ignored(config, rule) -> None:
    """Settings of S4MC's selection that another of its switches would leave without effect."""
    default = base().method.selection
    plain = lambda value: tuple(value) if isinstance(value, (list, tuple)) else value
    for key, (other, allowed) in _EFFECTIVE.items():
        if plain(rule[key]) != plain(default[key]) and rule[other] not in allowed:
            _refuse(config, f'method.selection.{key}', f'has no effect with method.selection.{other}={rule[other]}\n'
                    f'valid: {default[key]!r}, or method.selection.{other}={" or ".join(allowed)}')


def _refuse(config, key, valid):
    raise InputError(f'--config.{key}={read(config, key)}: {valid}')
