"""A trained network as a Python callable, whatever it was read from."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.config.encoder_sizes import evaluation_multiple, nearest_multiple, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.pixel_format import PixelFormat, pixel_format
from s4mim_jax.data.geometry import resize_image
from s4mim_jax.data.sizes import canvas_size
from s4mim_jax.evaluation.inference import Protocol, protocol_from
from s4mim_jax.evaluation.own_size import LONGEST, decide
from s4mim_jax.evaluation.tiled import predict_tiled
from s4mim_jax.prediction.large import windowed

# Scores of an image at the network's size, in bytes, from which `sliding` is worked off row by row.
TILED_FROM = 2 ** 27


class Settings(NamedTuple):
    """How images become the network's input, and what is done with its output.

    resize: (height, width) at the network; None = the own size. multiple: it is rounded to. batch: images or windows
    in a call. pixels: channels and value range. protocol: how to look.
    """

    resize: tuple[int, int] | None
    multiple: int
    batch: int
    pixels: PixelFormat
    protocol: Protocol

    def input_size(self, own: tuple[int, int]) -> tuple[int, int]:
        """(h, w) at which the network sees an image of own size (H, W)."""
        return tuple(nearest_multiple(n, self.multiple) for n in self.resize or own)


class Network(NamedTuple):
    """The functions that see: both take uint8 [B, h, w, channels].

    values: -> float32 [B, h, w, C] of kind `protocol.kind`, for whole images. windows: -> probabilities of windows,
    float32 [B, *window, C]; None where images are never cut.
    """

    values: Callable
    windows: Callable | None


def settings_from(config) -> Settings:
    """The settings of a run. `center_crop`, which leaves most of an image out, counts as `whole`."""
    protocol = protocol_from(config)
    if protocol.mode == 'center_crop':
        protocol = protocol._replace(mode='whole')
    return Settings(config.data.resize and tuple(config.data.resize), evaluation_multiple(config), config.eval.batch,
                    pixel_format(config.data), protocol)


class Predictor:
    """Segments images of any size.

    Each image goes through the network at the size that evaluation would use (`data.resize`,
    `eval.multiple`, `eval.mode`; `center_crop`, which leaves most of an image out, counts as `whole`)
    and its classes are decided at its own size. Large images under `sliding` take memory of their width, not of
    their area times the classes, see `evaluation/tiled.py`; what is too large for `whole` is cut, see `large.py`.

    Attributes:
      settings: how images are taken. classes: C names. palette: uint8 [C, 3].
      step: updates that the weights have seen. weights: 'teacher' or 'student'.
      config: ConfigDict of the run, None for an exported model.
    """

    def __init__(self, see: Network, settings: Settings, classes: Sequence[str], palette, step: int, weights: str,
                 config=None):
        self.settings, self.config = settings, config
        self.classes, self.palette = tuple(classes), np.asarray(palette, np.uint8)
        self.step, self.weights = step, weights
        self._see, protocol = see, settings.protocol

        def choose(values, row, own, canvas, confidence):
            value = jax.lax.dynamic_slice_in_dim(values, row, 1)
            return decide(value, own[None], canvas, protocol.align_corners,
                          confidence=protocol.kind if confidence else None)

        self._choose = jax.jit(choose, static_argnums=(3, 4))

    def __call__(self, images):
        """uint8 [B, H, W, C], one [H, W, C], or a list of [H, W, C] of any sizes -> class ids, uint8
        [B, H, W], [H, W], or a list of [H, W]. C = `data.channels`; with a `data.value_range` raw values of
        other types are taken too.

        Raises:
          InputError: another shape or dtype.
        """
        if not hasattr(images, 'ndim'):
            return [ids for ids, _ in self.predict(list(images))]
        images = np.asarray(images)
        if images.ndim == 3:
            return self.predict([images])[0][0]
        found = [ids for ids, _ in self.predict(list(images))]
        return np.stack(found) if found else np.zeros(images.shape[:3], np.uint8)

    def predict(self, images: Sequence[np.ndarray], confidence: bool = False) -> list[tuple]:
        """Class ids and, if asked for, the probability of each.

        Args:
          images: [H, W, C] each, uint8 (RGB by default) or raw values of `data.value_range`; sizes may differ.
          confidence: give the probability of the chosen class too.

        Returns:
          (uint8 [H, W], float32 [H, W] or None) for every image, in order.
        """
        images, channels = list(images), self.settings.pixels.channels
        for number, image in enumerate(images):
            kind, shape = getattr(image, 'dtype', type(image).__name__), getattr(image, 'shape', ())
            raw = self.settings.pixels.value_range is not None and getattr(kind, 'kind', '') in 'iuf'
            if not (kind == np.uint8 or raw) or len(shape) != 3 or shape[2] != channels or 0 in shape:
                raise InputError(f'images[{number}]: {kind} of shape {shape}\nvalid: uint8 [H, W, {channels}]'
                                 f'{", RGB" if self.settings.pixels.plain else ""}')
            if kind != np.uint8:
                images[number] = self.settings.pixels.to_bytes(image, f'images[{number}]')
        groups: dict[tuple, list[int]] = {}
        for number, image in enumerate(images):
            groups.setdefault(self.settings.input_size(image.shape[:2]), []).append(number)
        results = [None] * len(images)
        for size, members in groups.items():
            cut = self.windows_of(size)
            if cut is not None:
                for number in members:
                    results[number] = self._by_windows(images[number], size, cut, confidence)
                continue
            for start in range(0, len(members), self.settings.batch):
                part = members[start:start + self.settings.batch]
                found = self._batch([images[n] for n in part], size, confidence)
                for number, result in zip(part, found):
                    results[number] = result
        return results

    def windows_of(self, size: tuple[int, int]) -> Protocol | None:
        """How an image of (h, w) at the network is cut so that memory stays bounded; None = it is seen at once.

        Raises:
          InputError: a side, or looks at several scales of an image, that are beyond what can be cut.
        """
        protocol = self.settings.protocol
        if max(size) >= LONGEST:
            raise InputError(f'an image of {size[0]}x{size[1]} pixels: a side of {LONGEST} pixels or more\n'
                             'valid: tiles of it')
        if protocol.mode == 'sliding':
            if protocol.augmented or self._see.windows is None:
                return None
            large = 4 * size[0] * size[1] * len(self.classes) > TILED_FROM
            return protocol if self._see.values is None or large else None
        if self.config is None:  # an exported model takes the sizes that it was made for
            return None
        patch = size_multiple(self.config.model)
        cut = windowed(protocol, size, len(self.classes), patch if patch > 1 else None)
        if cut is not None and protocol.augmented:
            raise InputError(f'an image of {size[0]}x{size[1]} pixels is too large for several looks at the whole of it'
                             '\nset --config.eval.scales="(1.0,)" --config.eval.flip=False, or --config.data.resize')
        return cut

    def _by_windows(self, image, size, protocol, confidence):
        batch = self.settings.batch if protocol is self.settings.protocol else 1  # windows of `whole` are large
        return predict_tiled(self._see.windows, resize_image(image, size), image.shape[:2], protocol, batch, confidence)

    def _batch(self, images, size, confidence):
        """Images that share their size at the network, at most `eval.batch` of them."""
        # Filled up to a power of two: few shapes to compile for, few rows in vain.
        rows = 1 << (len(images) - 1).bit_length()
        batch = np.zeros((rows, *size, self.settings.pixels.channels), np.uint8)
        for row, image in enumerate(images):
            batch[row] = resize_image(image, size)
        values = self._see.values(batch)
        waiting = []
        for row, image in enumerate(images):
            own = image.shape[:2]
            # The canvas is cut to the image below: few shapes to compile for.
            waiting.append(self._choose(values, row, jnp.array(own, jnp.int32), canvas_size(own), confidence))
        found = []
        for image, arrays in zip(images, waiting):
            height, width = image.shape[:2]
            found.append(tuple(a if a is None else np.asarray(a[0])[:height, :width] for a in arrays))
        return found
