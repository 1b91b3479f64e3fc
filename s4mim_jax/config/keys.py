"""The configuration: every key with its default, its meaning and what is valid, in one place.

A config file under `configs/` starts from `base()`, sets what its dataset needs and ends with
`compose(config, argument, __file__)` of `config/methods.py`, which applies the method named after the colon
(`configs/methods/NAME.py`) and the settings that follow it. Terms bring keys of their own, see `terms/__init__.py`.
docs/keys.md is made from here (`config/reference.py`), and `config/validation.py` reads the bounds.
"""

import ml_collections

from s4mim_jax import terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.extensions import extensions
from s4mim_jax.config.key import Key, choice, pair, positive, share, size
from s4mim_jax.views.table import VIEWS, views_of

KEYS = {
    'seed': Key(0, 'decides everything that is drawn', least=0, below=2**32, valid='must lie in 0 .. 2**32 - 1'),
    'total_steps': positive(1000, 'optimiser updates'),
    'precision': choice('float32', 'of the computation, parameters stay float32; auto: by device',
                        'float32', 'bfloat16', 'auto'),
    'partition': choice('jit', 'how a step is spread over devices', 'jit', 'shard_map'),
    'mesh.data': Key(-1, '-1: all remaining devices'),
    'mesh.fsdp': Key(1, '-1: all remaining devices'),

    # Global batch sizes per update; `accumulate` splits them into micro-batches.
    'batch.labeled': positive(8, 'images per update, over all devices'),
    'batch.unlabeled': positive(8, 'images per update, over all devices'),
    'batch.accumulate': positive(1, 'micro-batches of an update'),

    'optimizer.name': choice('adamw', 'the optimiser', 'sgd', 'adamw', 'adam', 'amsgrad'),
    'optimizer.learning_rate': Key(1e-3, 'at reference_batch labelled images per update; scaled linearly', least=0),
    'optimizer.reference_batch': positive(8, 'labelled images per update that learning_rate is for'),
    'optimizer.head_multiplier': Key(1.0, 'learning rate of everything but the encoder, relative to it', least=0),
    'optimizer.weight_decay': Key(1e-4, 'sgd, adam, amsgrad: joined to the gradient; adamw: decoupled', least=0),
    'optimizer.momentum': Key(0.9, 'sgd', least=0, most=1, below=1),
    'optimizer.b1': Key(0.9, 'adam family', least=0, most=1, below=1),
    'optimizer.b2': Key(0.999, 'adam family', least=0, most=1, below=1),
    'optimizer.schedule': choice('poly', 'of the learning rate', 'poly', 'cosine', 'constant'),
    'optimizer.power': Key(0.9, 'poly'),
    'optimizer.warmup_steps': Key(0, 'over which the rate grows from 0', least=0),
    'optimizer.clip_norm': Key(None, 'global gradient norm, None = off', kind=float, least=0),

    'data.name': Key('shapes', 'the reader, see docs/datasets.md'),
    'data.dir': Key(None, 'None: $S4MIM_DATA/<name>, then data/<name>', kind=str),
    'data.split': Key('all', 'all | seeded:1/8 | NAME of splits/NAME_(un)labeled.txt'),
    'data.val': Key('own', 'own | seeded:1/5: where there is no val, this share of the labelled training images'),
    'data.crop': size((96, 96), 'of training'),
    'data.resize': size(None, 'network input before cropping, None = own size'),
    'data.scale': pair((0.5, 2.0), 'random scale of the long side'),
    'data.flip': Key(True, 'mirror half of the training crops'),
    'data.label_map': Key(None, "'0:0,255:1' maps raw mask values; others: ignore", kind=str),
    # name='tfds:NAME': its features and splits, where the reader does not know or find them.
    'data.tfds_image': Key(None, 'features; None = known', kind=str),
    'data.tfds_label': Key(None, 'features; None = known', kind=str),
    'data.tfds_splits': Key(None, "'train=train[:90%],val=train[90%:],test=test'", kind=str),
    'data.mask_colors': choice('auto', "which masks classes.txt's colours decode; always: palette ones too",
                               'auto', 'always', 'never'),
    'data.channels': Key(3, "of the images and of the network's input"),
    'data.value_range': Key(None, 'raw (low, high) -> 0, 255; None = 8-bit values as they are', kind=tuple),
    'data.mean': Key(None, "a channel, in 0..1 of that range; None = ImageNet's", kind=tuple),
    'data.std': Key(None, 'likewise', kind=tuple),
    'data.cache': Key(True, 'keep the result of the scan of the files before training'),

    'views.jitter_probability': share(0.8, 'of colour jitter in a strong view'),
    'views.brightness': Key(0.5, 'its strengths'),
    'views.contrast': Key(0.5, 'its strengths'),
    'views.saturation': Key(0.5, 'its strengths'),
    'views.hue': share(0.25, 'its strengths'),
    'views.grayscale_probability': share(0.2, 'of a strong view'),
    'views.blur_probability': share(0.5, 'of a strong view'),
    'views.blur_sigma': pair((0.1, 2.0), 'pixels'),

    # What a model key may be depends on the encoder and the decoder: `models/` checks it when a network is built.
    'model.encoder': Key('resnet50', 'docs/configuration.md has them all'),
    'model.decoder': Key('deeplabv3plus', 'deeplabv3plus | dpt | unet'),
    'model.pretrained': Key(None, 'a weights file, a run folder, or None', kind=str),
    'model.stem': Key('7x7', '7x7 | deep'),
    'model.output_stride': Key(16, '8 | 16 | 32'),
    'model.padding': Key('symmetric', "symmetric | same (TensorFlow's)"),
    'model.align_corners': Key(False, 'convention of every resize'),
    'model.norm': Key('batch', 'batch | group'),
    'model.freeze_norm': Key(False, 'encoder BatchNorm held at its running statistics'),
    'model.freeze_encoder': Key(
        False, 'the whole encoder held: no gradient, no optimiser state, its statistics as they are'),
    'model.width': positive(64, 'channels of the first ResNet stage; 64 is the published network'),
    'model.aspp_rates': Key((6, 12, 18), 'DeepLabV3+: dilations, channels'),
    'model.decoder_width': Key(256, 'DeepLabV3+: dilations, channels'),
    'model.low_level_width': Key(48, 'DeepLabV3+: dilations, channels'),
    'model.unet_widths': Key((512, 256, 128, 64), 'per up-step, coarse to fine; fewer steps take the last ones'),
    'model.dpt_features': Key(None, "of the fusing layers; None = the encoder's published width", kind=int),
    'model.dpt_channels': Key(None, 'of the projected maps, fine to coarse; None = likewise', kind=tuple),
    'model.multi_grid': Key(None, "factors of the dilations in a ResNet's last stage, as (1, 2, 4)", kind=tuple),
    # Of ViTs, which have no use for stem, output_stride, padding, norm and width.
    'model.registers': Key(0, '0 | 4: register tokens'),
    'model.positions': Key(None, 'offset | size | antialias, None = as the weights were trained', kind=str),
    'model.vit_depth': Key(None, 'None = published', kind=int),
    'model.vit_width': Key(None, 'None = published', kind=int),
    'model.vit_heads': Key(None, 'None = published; with vit_width a head for 64 channels', kind=int),
    'model.remat': Key(False, "recompute the encoder's blocks in the backward pass, to save memory"),

    'method.name': Key('supervised', 'a label of the run; the method is named after the colon of --config'),
    'method.weighting': choice('added', 'added: ideas join the whole host loss, as in the papers; equal: they share '
                               'its weights', 'added', 'equal'),
    'method.modules': Key((), 'ideas from outside the package, see config/extensions.py'),
    'method.tau': share(0.95, 'pseudo-labels at least this confident are used'),
    'method.selection.refinement': choice('none', 'S4MC, for the filter only', 'none', 'union', 'coherence'),
    'method.selection.threshold': choice('confidence', 'confidence: top >= tau; margin: >= tau_margin; partition: '
                                         "S4MC's dynamic threshold", 'confidence', 'margin', 'partition'),
    'method.selection.tau_margin': share(0.9, 'threshold=margin: margins at least this large are used'),
    'method.selection.alpha': share(
        0.4, "partition: the quantile goes from alpha to alpha_end (0.15 in S4MC's older script)"),
    'method.selection.alpha_end': share(
        0.0, "partition: the quantile goes from alpha to alpha_end (0.15 in S4MC's older script)"),
    'method.selection.scope': choice('global', 'of the quantile', 'global', 'image'),
    'method.selection.resolution': choice('full', 'where margins, refinement and quantile are computed; full: '
                                          'released code', 'full', 'logits'),
    'method.selection.window': Key(3, 'side of the window, odd'),
    'method.selection.connectivity': choice(8, 'neighbours of a pixel', 4, 8),
    'method.selection.neighbors': Key(1, 'neighbours folded in, strongest first'),
    'method.selection.decay': Key(None, 'rate of exp(-rate * distance); None = weight 1', kind=float, least=0),
    'method.selection.coherence': Key(
        (), 'refinement=coherence: a share a class; () = estimated from the labelled masks'),
    'method.selection.normalizer': choice('valid', 'of losses on pseudo-labels, see terms/cross_entropy.py',
                                          'valid', 'kept', 'kept_squared'),
    'method.selection.matched': choice('none', 'controls, see pseudo_labels/selection.py',
                                       'none', 'unrefined', 'single_scale'),
    # Masks of the masked views. Beside these keys each mask of the table of views has its NAME_kind and NAME_ratio.
    'method.masks.patch': Key(None, "side of a grid's cell; None: views/masked.py, default_patch", kind=int, least=1),
    'method.masks.freeform': pair((0.5, 0.6), 'hidden share is drawn from this range', below=1,
                                  valid='hidden shares, below 1'),
    'method.masks.statistics': choice('batch', 'what BatchNorm normalises masked views by; they write none',
                                      'batch', 'running'),
    'method.masks.loss_on': choice('all', 'pixels that the cross-entropies of masked views count',
                                   'all', 'visible', 'hidden'),
    'method.masks.w_photometric': Key(False, '~w: the weak view, or a photometric view of it without CutMix'),
    'method.masks.input_scope': choice('all', 'class_sampled: show one sampled class of each image only',
                                       'all', 'class_sampled'),
    'method.teacher.kind': choice('self', 'who makes the pseudo-labels', 'self', 'ema'),
    'method.teacher.scales': Key((1.0,), 'the target is the mean softmax over these (MaskMatch), in training only'),
    'method.teacher.decay': share(0.996, 'ema: min(1 - 1/(t+1), decay)'),
    'method.teacher.half_life': share(0.1, 'ema: at most this share of the run, by a smaller decay; 0 = no bound'),
    'method.teacher.batch_stats': choice('copy', "of the average: the student's, or averaged too", 'copy', 'ema'),
    'method.cutmix.probability': share(0.5, 'of a box in a strong view'),
    'method.cutmix.partner': choice('batch', 'what is pasted', 'self_view', 'batch', 'independent'),
    'method.cutmix.area': pair((0.02, 0.4), 'of the box: share of the crop', most=1,
                               valid='shares of the image, at most 1'),
    'method.cutmix.aspect': pair((0.3, 1 / 0.3), 'of the box: height to width'),

    'eval.every': Key(500, 'steps, 0 = only at the end', least=0),
    'eval.split': choice('val', 'evaluated during training; selects the best checkpoint', 'train', 'val', 'test'),
    'eval.mode': choice('whole', 'how an image is shown to the network', 'whole', 'sliding', 'center_crop'),
    'eval.batch': positive(8, 'images at once'),
    'eval.multiple': positive(1, "the network's input is rounded to a multiple of this"),
    'eval.window': size(None, 'sliding and center_crop; None = data.crop'),
    'eval.scales': Key((1.0,), 'copies of an image whose probabilities are averaged'),
    'eval.flip': Key(False, 'copies of an image whose probabilities are averaged'),
    'eval.boundary': share(0.0, 'Boundary IoU too, this share of the diagonal wide (0.02 in its paper); 0 = off'),
    'checkpoint.every': Key(500, 'steps, 0 = only at the end', least=0),
    'log.every': positive(50, 'steps'),
    'log.images': Key(4, 'in a panel, 0 = no panels', least=0),
    'log.gradients': Key(False, "also the norm of each term's own gradient; a backward pass more for every term"),
    'log.writers': Key('tensorboard', 'beside the run folder: tensorboard, wandb, mlflow, separated by commas'),
}


def base() -> ml_collections.ConfigDict:
    """All keys with their defaults. Sizes are (height, width); None-able keys are placeholders."""
    config = ml_collections.ConfigDict()
    _place(config, KEYS)
    _place(config.method, {name: key for row in VIEWS for name, key in mask_keys(row).items()})
    for name, term in terms.TERMS.items():
        _place(config.method, terms.keys(name, term))
    return config.lock()  # a config file may set keys, not invent them


def mask_keys(row) -> dict[str, Key]:
    """Keys of config.method of a row of the table of views: those of its mask, if it has one."""
    if not row.mask:
        return {}
    return {f'masks.{row.mask}_kind': choice(row.kind, f'mask of {row.name}', 'grid', 'freeform'),
            f'masks.{row.mask}_ratio': share(row.hidden, f'hidden share of a grid over {row.name}')}


def keys_of(method) -> dict[str, Key]:
    """Every key, dotted, with those of the views and the terms of a config.method, of its modules too."""
    own = {name: key for row in views_of(method).values() for name, key in mask_keys(row).items()}
    for name, term in terms.terms_of(method).items():
        own |= terms.keys(name, term)
    return KEYS | {f'method.{name}': key for name, key in own.items()}


def adopt(config, *modules: str) -> None:
    """Adds ideas from outside the package, modules such as 'ideas.entropy', with their keys at their defaults.

    Raises:
      InputError: a module that cannot be imported or has neither a term nor views, or names that are taken.
    """
    method = config.method
    new = [path for path in modules if path not in method.modules]
    with config.unlocked():
        method.modules = (*method.modules, *new)
        for name, module in extensions(method).items():
            if f'{module.__name__}' not in new:
                continue
            if not hasattr(module, 'loss') and not hasattr(module, 'VIEWS'):
                raise InputError(f'--config.method.modules: {module.__name__} has neither a function loss(forward), '
                                 'which makes a term of it, nor VIEWS')
            views = getattr(module, 'VIEWS', ())
            method.masks.update({name.partition('.')[2]: key.value() for row in views
                                 for name, key in mask_keys(row).items()})
            if hasattr(module, 'loss'):
                _place(method, terms.keys(name, module))
    views_of(method)  # raises where two views have one name


def _place(node, keys: dict[str, Key]) -> None:
    """Puts keys into a config; a dotted one into its group."""
    for dotted, key in keys.items():
        *group, name = dotted.split('.')
        place = node
        for part in group:
            if part not in place:
                place[part] = ml_collections.ConfigDict()
            place = place[part]
        if name in place:
            raise InputError(f'--config.method.{dotted}: two terms have a key of this name')
        place[name] = key.value()
