"""Checks a whole config once, before anything is built or written."""

from s4mim_jax import terms
from s4mim_jax.config.encoder_sizes import nearest_multiple, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.keys import base, keys_of
from s4mim_jax.data.files.pixel_format import pixel_format
from s4mim_jax.terms import weights
from s4mim_jax.views.table import views_of


def read(config, dotted: str):
    """The value at a dotted key."""
    node = config
    for part in dotted.split('.'):
        node = node[part]
    return node


def validate(config) -> None:
    """Raises InputError with the key, its value and what is valid; returns None when all is well."""
    for dotted, key in keys_of(config.method).items():
        fault = key.fault(read(config, dotted))
        if fault:
            _refuse(config, dotted, fault)
    multiple = size_multiple(config.model)
    if any(side % multiple for side in config.data.crop):
        near = tuple(nearest_multiple(side, multiple) for side in config.data.crop)
        _refuse(config, 'data.crop', f'{config.model.encoder} takes multiples of its patch, {multiple} pixels, '
                f'such as {near}')
    _validate_pixels(config)
    _validate_terms(config)
    _validate_slots(config)
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
    """How weights change, and the views that terms ask for."""
    for name in terms.terms_of(config.method):
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
