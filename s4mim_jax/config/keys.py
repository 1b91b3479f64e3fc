"""The configuration: every key with its default.

A config file under `configs/` starts from `base()`, sets what its dataset needs and ends with
`compose(config, argument, __file__)` of `config/methods.py`, which applies the method named after the colon
(`configs/methods/NAME.py`) and the settings that follow it.
"""

import ml_collections
from ml_collections import config_dict

from s4mim_jax import terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.extensions import extensions
from s4mim_jax.views.table import VIEWS, views_of


def base() -> ml_collections.ConfigDict:
    """All keys with their defaults. Sizes are (height, width); None-able keys are placeholders."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # decides everything that is drawn
    config.total_steps = 1000  # optimiser updates
    config.precision = 'float32'  # of the computation, parameters stay float32: float32 | bfloat16 | auto (by device)
    config.partition = 'jit'  # jit | shard_map
    config.mesh = ml_collections.ConfigDict(dict(data=-1, fsdp=1))  # -1: all remaining devices

    # Global batch sizes per update; `accumulate` splits them into micro-batches.
    config.batch = ml_collections.ConfigDict(dict(
        labeled=8, unlabeled=8,  # images per update, over all devices
        accumulate=1,  # micro-batches of an update
    ))

    config.optimizer = ml_collections.ConfigDict(dict(
        name='adamw',  # sgd | adamw | adam | amsgrad
        learning_rate=1e-3,  # at reference_batch labelled images per update; scaled linearly
        reference_batch=8,  # labelled images per update that learning_rate is for
        head_multiplier=1.0,  # learning rate of everything but the encoder, relative to it
        weight_decay=1e-4,  # sgd, adam, amsgrad: joined to the gradient; adamw: decoupled
        momentum=0.9,  # sgd
        b1=0.9, b2=0.999,  # adam family
        schedule='poly',  # poly | cosine | constant
        power=0.9,  # poly
        warmup_steps=0,  # over which the rate grows from 0
        clip_norm=config_dict.placeholder(float),  # global gradient norm, None = off
    ))

    config.data = ml_collections.ConfigDict(dict(
        name='shapes',  # the reader, see docs/datasets.md
        dir=config_dict.placeholder(str),  # None: $S4MIM_DATA/<name>, then data/<name>
        split='all',  # all | seeded:1/8 | NAME of splits/NAME_(un)labeled.txt
        val='own',  # own | seeded:1/5: where there is no val, this share of the labelled training images
        crop=(96, 96),  # of training
        resize=config_dict.placeholder(tuple),  # network input before cropping, None = own size
        scale=(0.5, 2.0),  # random scale of the long side
        flip=True,  # mirror half of the training crops
        label_map=config_dict.placeholder(str),  # '0:0,255:1' maps raw mask values; others: ignore
        # name='tfds:NAME': its features and splits, where the reader does not know or find them.
        tfds_image=config_dict.placeholder(str), tfds_label=config_dict.placeholder(str),  # features; None = known
        tfds_splits=config_dict.placeholder(str),  # 'train=train[:90%],val=train[90%:],test=test'
        mask_colors='auto',  # auto | always | never: which masks classes.txt's colours decode; always: palette ones too
        channels=3,  # of the images and of the network's input
        value_range=config_dict.placeholder(tuple),  # raw (low, high) -> 0, 255; None = 8-bit values as they are
        mean=config_dict.placeholder(tuple),  # a channel, in 0..1 of that range; None = ImageNet's
        std=config_dict.placeholder(tuple),  # likewise
        cache=True,  # keep the result of the scan of the files before training
    ))

    config.views = ml_collections.ConfigDict(dict(
        jitter_probability=0.8,  # of colour jitter in a strong view
        brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25,  # its strengths
        grayscale_probability=0.2, blur_probability=0.5,  # of a strong view
        blur_sigma=(0.1, 2.0),  # pixels
    ))

    config.model = ml_collections.ConfigDict(dict(
        encoder='resnet50',  # docs/configuration.md has them all
        decoder='deeplabv3plus',  # deeplabv3plus | dpt | unet
        pretrained=config_dict.placeholder(str),  # a weights file, a run folder, or None
        stem='7x7',  # 7x7 | deep
        output_stride=16,  # 8 | 16 | 32
        padding='symmetric',  # symmetric | same (TensorFlow's)
        align_corners=False,  # convention of every resize
        norm='batch',  # batch | group
        freeze_norm=False,  # encoder BatchNorm held at its running statistics
        freeze_encoder=False,  # the whole encoder held: no gradient, no optimiser state, its statistics as they are
        width=64,  # channels of the first ResNet stage; 64 is the published network
        aspp_rates=(6, 12, 18), decoder_width=256, low_level_width=48,  # DeepLabV3+: dilations, channels
        unet_widths=(512, 256, 128, 64),  # per up-step, coarse to fine; fewer steps take the last ones
        dpt_features=config_dict.placeholder(int),  # of the fusing layers; None = the encoder's published width
        dpt_channels=config_dict.placeholder(tuple),  # of the projected maps, fine to coarse; None = likewise
        multi_grid=config_dict.placeholder(tuple),  # factors of the dilations in a ResNet's last stage, as (1, 2, 4)
        # Of ViTs, which have no use for stem, output_stride, padding, norm and width.
        registers=0,  # 0 | 4: register tokens
        positions=config_dict.placeholder(str),  # offset | size | antialias, None = as the weights were trained
        vit_depth=config_dict.placeholder(int), vit_width=config_dict.placeholder(int),  # None = published
        vit_heads=config_dict.placeholder(int),  # None = published; with vit_width a head for 64 channels
        remat=False,  # recompute the encoder's blocks in the backward pass, to save memory
    ))

    # Weights of loss terms carry the term's name: 0 removes the term, its views and its passes. They and what else a
    # term has to be set stand in its file under `terms/`.
    config.method = ml_collections.ConfigDict(dict(
        name='supervised',  # a label of the run; the method is named after the colon of --config
        weighting='added',  # added: ideas join the whole host loss, as in the papers | equal: they share its weights
        modules=(),  # ideas from outside the package, see config/extensions.py
        tau=0.95,  # pseudo-labels at least this confident are used
    ))
    config.method.selection = ml_collections.ConfigDict(dict(
        refinement='none',  # none | union | coherence (S4MC), for the filter only
        threshold='confidence',  # confidence (top >= tau) | margin (>= tau_margin) | partition (S4MC)
        tau_margin=0.9,  # threshold=margin: margins at least this large are used
        alpha=0.4, alpha_end=0.0,  # partition: the quantile goes from alpha to alpha_end (0.15 in S4MC's older script)
        scope='global',  # of the quantile: global | image
        resolution='full',  # full (released code) | logits: where margins, refinement and quantile are computed
        window=3, connectivity=8, neighbors=1,  # side of the window; 4 | 8; neighbours folded in, strongest first
        decay=config_dict.placeholder(float),  # rate of exp(-rate * distance); None = weight 1
        coherence=(),  # refinement=coherence: a share a class; () = estimated from the labelled masks
        matched='none',  # controls: none | unrefined | single_scale, see pseudo_labels/selection.py
    ))
    # Masks of the masked views. Beside these keys each mask of the table of views has its NAME_kind, grid | freeform,
    # and NAME_ratio, the hidden share of a grid: x_kind, x_ratio, w_kind, ...
    config.method.masks = ml_collections.ConfigDict(dict(
        patch=config_dict.placeholder(int),  # side of a grid's cell; None: views/masked.py, default_patch
        freeform=(0.5, 0.6),  # hidden share is drawn from this range
        statistics='batch',  # batch | running: what BatchNorm normalises masked views by; they write none
        loss_on='all',  # all | visible | hidden: pixels that the cross-entropies of masked views count
        w_photometric=False,  # ~w: the weak view, or a photometric view of it without CutMix
        input_scope='all',  # all | class_sampled: show one sampled class of each image only
    ))
    for row in VIEWS:
        if row.mask:
            config.method.masks.update(mask_keys(row))
    for name, term in terms.TERMS.items():
        _place(config.method, terms.keys(name, term))
    config.method.teacher = ml_collections.ConfigDict(dict(
        kind='self',  # self | ema
        scales=(1.0,),  # the target is the mean softmax over these (MaskMatch), in training only
        decay=0.996,  # ema: min(1 - 1/(t+1), decay)
        half_life=0.1,  # ema: at most this share of the run, by a smaller decay; 0 = no bound
        batch_stats='copy',  # copy | ema
    ))
    config.method.cutmix = ml_collections.ConfigDict(dict(
        probability=0.5, partner='batch',  # self_view | batch | independent
        area=(0.02, 0.4), aspect=(0.3, 1 / 0.3),  # of the box: share of the crop, height to width
    ))

    config.eval = ml_collections.ConfigDict(dict(
        every=500,  # steps, 0 = only at the end
        split='val',  # evaluated during training; selects the best checkpoint
        mode='whole',  # whole | sliding | center_crop
        batch=8,  # images at once
        multiple=1,  # the network's input is rounded to a multiple of this
        window=config_dict.placeholder(tuple),  # sliding and center_crop; None = data.crop
        scales=(1.0,), flip=False,  # copies of an image whose probabilities are averaged
        boundary=0.0,  # Boundary IoU too, this share of the diagonal wide (0.02 in its paper); 0 = off
    ))
    config.checkpoint = ml_collections.ConfigDict(dict(every=500))  # steps, 0 = only at the end
    config.log = ml_collections.ConfigDict(dict(
        every=50,  # steps
        images=4,  # in a panel, 0 = no panels
        gradients=False,  # also the norm of each term's own gradient; a backward pass more for every term
        writers='tensorboard',  # beside the run folder: tensorboard, wandb, mlflow, separated by commas
    ))
    return config.lock()  # a config file may set keys, not invent them


def mask_keys(row) -> dict:
    """The keys in config.method.masks of a masked copy, a row of the table of views."""
    return {f'{row.mask}_kind': row.kind, f'{row.mask}_ratio': row.hidden}


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
            for row in getattr(module, 'VIEWS', ()):
                if row.mask:
                    method.masks.update(mask_keys(row))
            if hasattr(module, 'loss'):
                _place(method, terms.keys(name, module))
    views_of(method)  # raises where two views have one name


def _place(method, keys) -> None:
    """Puts keys into config.method; a dotted one into its group."""
    for dotted, key in keys.items():
        *group, name = dotted.split('.')
        node = method
        for part in group:
            if part not in node:
                node[part] = ml_collections.ConfigDict()
            node = node[part]
        if name in node:
            raise InputError(f'--config.method.{dotted}: two terms have a key of this name')
        node[name] = key.value()
