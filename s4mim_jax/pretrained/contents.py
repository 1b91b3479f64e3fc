"""What a weights file holds: the schemes of its encoder and decoder, and what they say of config.model."""

import dataclasses
import functools
import re
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.models import dpt
from s4mim_jax.models.norm import EPSILON
from s4mim_jax.models.vit import VITS
from s4mim_jax.pretrained.readers import Weights
from s4mim_jax.pretrained.schemes import DECODERS, ENCODERS, Found, Scheme, Source, ours

# What a whole network puts before the names of its encoder: `backbone.` in UniMatch, `dinov2.` in transformers.
PREFIXES = ('', 'backbone.', 'encoder.', 'dinov2.', 'dinov3_vit.', 'dinov3_convnext.', 'pretrained.')
PADDINGS = {'same': 'same', 'tf_same': 'same', 'symmetric': 'symmetric'}
TENSORFLOW_EPSILON = 1e-3  # of the BatchNorm of timm's tf_ networks, beside TensorFlow's padding


@dataclasses.dataclass(frozen=True)
class Part:
    """An encoder or decoder in a file: its scheme, what the scheme found, what precedes its names."""

    scheme: Scheme
    found: Found
    prefix: str = ''

    def source(self, path: str) -> Source:
        """Origin of a leaf ('params/encoder/stem1/conv/kernel')."""
        source = self.scheme.source(path.split('/', 2)[2], self.found)
        return source._replace(names=tuple(self.prefix + name for name in source.names))

    def has(self, name: str) -> bool:
        """Whether a name of the file is this part's."""
        return name.startswith(self.prefix) and bool(self.scheme.owns.match(name.removeprefix(self.prefix)))

    def leaves_out(self, name: str) -> bool:
        """Whether a name is one that files of this scheme have and no leaf takes."""
        return name.startswith(self.prefix) and bool(self.scheme.unused.search(name.removeprefix(self.prefix)))


@dataclasses.dataclass(frozen=True)
class Contents:
    """A file and what is in it; encoder and decoder are None where no scheme knows them."""

    weights: Weights
    encoder: Part | None
    decoder: Part | None

    @functools.cached_property
    def has_batch_norm(self) -> bool:
        """Whether the network keeps running statistics."""
        return any(name.endswith(('.running_mean', '/norm/mean')) for name in self.weights.arrays)

    @functools.cached_property
    def padding(self) -> str | None:
        """'same' or 'symmetric' where the file or its name (timm's tf_ networks) says it."""
        said = self.weights.metadata.get('padding')
        if said is not None and said not in PADDINGS:
            raise InputError(f'weights file {self.weights.path}: padding {said!r} is unknown\n'
                             f'valid: {", ".join(PADDINGS)}')
        return PADDINGS.get(said) or ('same' if self._is_tensorflow else None)

    @functools.cached_property
    def epsilon(self) -> float:
        """Of the source's BatchNorm: as the metadata say, 1e-3 in timm's tf_ networks, else 1e-5."""
        said = self.weights.metadata.get('epsilon') or self.weights.metadata.get('bn_eps')
        try:
            epsilon = float(said) if said else TENSORFLOW_EPSILON if self._is_tensorflow else EPSILON
        except ValueError:
            epsilon = -1.0
        if not 0 < epsilon < 1:
            raise InputError(f'weights file {self.weights.path}: epsilon {said!r} is no number between 0 and 1')
        return epsilon

    @property
    def _is_tensorflow(self):
        # The file's name, its folder's, or the repository's in the cache of the hub.
        names = Path(self.weights.path).parts[-4:]
        return self.has_batch_norm and any(re.match(r'(models--)?(timm[_-]{1,2})?tf_', name) for name in names)

    def name_of(self, part: str) -> str:
        """'encoder resnet50' or 'decoder dpt of 21 classes', for messages."""
        found = getattr(self, part).found
        return f'{part} {found.network}' + (f' of {found.classes} classes' if found.classes else '')


def recognise(weights: Weights) -> Contents:
    """Looks at the names and shapes of a file with every scheme of the table."""
    if ours.is_ours(weights.metadata):
        encoder, decoder = (ours.describe(part, weights.metadata) for part in ('encoder', 'decoder'))
        return Contents(weights, Part(ours.ENCODER, encoder), Part(ours.DECODER, decoder) if decoder else None)
    encoder = decoder = None
    for prefix in PREFIXES:
        arrays = {name.removeprefix(prefix): a for name, a in weights.arrays.items() if name.startswith(prefix)}
        recognised = ((scheme, scheme.recognise(arrays)) for scheme in ENCODERS)
        encoder = encoder or next((Part(scheme, found, prefix) for scheme, found in recognised if found), None)
    if encoder is None or encoder.prefix:  # a decoder stands beside the encoder's prefix
        recognised = ((scheme, scheme.recognise(weights.arrays)) for scheme in DECODERS)
        decoder = next((Part(scheme, found) for scheme, found in recognised if found), None)
    return Contents(weights, encoder, decoder)


def in_effect(model_config, key: str):
    """Value of config.model.KEY; the encoder's published one where the config leaves a DPT's widths open."""
    if key in ('dpt_features', 'dpt_channels'):
        return dict(zip(('dpt_features', 'dpt_channels'), dpt.widths(model_config)))[key]
    if key == 'positions' and model_config.encoder in VITS:
        return model_config.positions or ('antialias' if model_config.registers else 'offset')
    return model_config[key]
