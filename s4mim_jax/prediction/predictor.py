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
from s4mim_jax.data.shape_buckets import FEW, ShapeBuckets
from s4mim_jax.data.sizes import canvas_size
from s4mim_jax.evaluation.inference import Protocol, protocol_from
from s4mim_jax.evaluation.own_size import decide
from s4mim_jax.evaluation.tiled import mean_scores, predict_tiled
from s4mim_jax.models import resize_bilinear
from s4mim_jax.models.resize import LONGEST
from s4mim_jax.prediction.files import mixed
from s4mim_jax.prediction.inputs import as_bytes, is_one
from s4mim_jax.prediction.large import windowed

# Scores of an image at the network's size, in bytes, from which `sliding` is worked off row by row.
TILED_FROM = 2 ** 27


class Settings(NamedTuple):
    """How images become the network's input, and what is done with its output.

    resize: (height, width) at the network; None = the own size. multiple: it is rounded to. batch: images or windows
    in a call. pixels: channels and value range. protocol: of evaluation.
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
    """The compiled functions: all take uint8 [B, h, w, channels].

    values: -> float32 [B, h, w, C] of kind `protocol.kind`, for whole images. windows: -> probabilities of windows,
    float32 [B, *window, C]; None where images are never cut. padded: (images, seen, own, canvas, confidence) -> what
    `decide` gives, of images that lie at the top left and are `seen` int32 [B, 2] large; None where a network, or how
    it looks, does not take images with something around them.
    """

    values: Callable
    windows: Callable | None
    padded: Callable | None = None


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
      config: ConfigDict of the run. model: Flax module, variables: its arrays, so that
        `model.apply(variables, images, train=False).logits` is the network on normalised images. All three are
        None for an exported model.
    """

    def __init__(self, network: Network, settings: Settings, classes: Sequence[str], palette, step: int, weights: str,
                 config=None, model=None, variables=None):
        self.settings, self.config, self.model, self.variables = settings, config, model, variables
        self.classes, self.palette = tuple(classes), np.asarray(palette, np.uint8)
        self.step, self.weights = step, weights
        self._network, protocol = network, settings.protocol
        self._shapes, self._sizes = ShapeBuckets(), set()

        def choose(values, row, own, canvas, confidence):
            value = jax.lax.dynamic_slice_in_dim(values, row, 1)
            return decide(value, own[None], canvas, protocol.align_corners,
                          confidence=protocol.kind if confidence else None)

        self._choose = jax.jit(choose, static_argnums=(3, 4))

    def __call__(self, images):
        """Class ids.

        Args:
          images: one image or several, each a path, a Pillow image or an array uint8 [H, W, C]; several as a list of
            any sizes, or as one array [B, H, W, C]. C = `data.channels`, RGB by default. With a `data.value_range`
            raw values of other types are taken too; without one, floats are refused.

        Returns:
          uint8 [H, W]; of an array [B, H, W]; of a list a list.

        Raises:
          InputError: no such file, another shape or type.
        """
        if is_one(images):
            return self.predict([images])[0][0]
        found = [ids for ids, _ in self.predict(list(images))]
        if not hasattr(images, 'ndim'):
            return found
        return np.stack(found) if found else np.zeros(images.shape[:3], np.uint8)

    def probabilities(self, images):
        """The probability of every class at the image's own size: float32 [H, W, C], or a list of them; sums to one.

        Takes what `__call__` takes. Four bytes a pixel and class: ask for `predict(images, confidence=True)` where the
        best class is enough.
        """
        if is_one(images):
            return self._scores([images])[0]
        return self._scores(list(images))

    def overlay(self, image, ids: np.ndarray | None = None) -> np.ndarray:
        """Image and class colours half and half: uint8 [H, W, 3]. ids: uint8 [H, W], None = predicted now."""
        pixels = as_bytes(image, self.settings.pixels, 'image')
        return mixed(pixels, self(pixels) if ids is None else np.asarray(ids), self.palette)

    def __repr__(self) -> str:
        settings, name = self.settings, 'exported model'
        if self.config is not None:
            name = f'{self.config.method.name}, {self.config.model.encoder} + {self.config.model.decoder}'
        size = f'{settings.resize[0]} x {settings.resize[1]}' if settings.resize else 'own size'
        return (f'<Predictor: {name}, {len(self.classes)} classes, {self.weights} weights of step {self.step}, '
                f'{settings.protocol.mode} at {size}>')

    def predict(self, images: Sequence, confidence: bool = False) -> list[tuple]:
        """Class ids and, if asked for, the probability of each.

        Args:
          images: each as `__call__` takes it; sizes may differ.
          confidence: give the probability of the chosen class too.

        Returns:
          (uint8 [H, W], float32 [H, W] or None) for every image, in order.
        """
        images = [as_bytes(image, self.settings.pixels, f'images[{n}]') for n, image in enumerate(images)]
        self.expect([image.shape[:2] for image in images])
        groups: dict[tuple, list[int]] = {}
        for number, image in enumerate(images):
            groups.setdefault(self.settings.input_size(image.shape[:2]), []).append(number)
        results = [None] * len(images)
        for size, members in groups.items():
            cut = self.windows_of(size)
            if cut is None and self._padded(size, [images[n].shape[:2] for n in members]):
                for number in members:
                    results[number] = self._in_larger(images[number], size, confidence)
                continue
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

    def expect(self, sizes: Sequence[tuple[int, int]]) -> str | None:
        """Says which (height, width) will come, so that few programs serve them all; `predict` does so for its images.

        Returns:
          None, or why every size at the network is compiled for, where there are more than a few.
        """
        self._sizes |= {self.settings.input_size(own) for own in sizes}
        if self._network.padded is not None:
            self._shapes.expect([self._vector(own) for own in sizes])
            return None
        protocol = self.settings.protocol
        if len(self._sizes) <= FEW or protocol.mode == 'sliding' and not protocol.augmented:
            return None
        what = ('several scales or flips' if protocol.augmented else
                'an exported model' if self.config is None else f'encoder {self.config.model.encoder}')
        return f'{what}: the network is compiled for each of {len(self._sizes)} sizes; a data.resize makes them one'

    def _vector(self, own):
        """Size at the network and own size: what decides over the shapes of arrays."""
        return *self.settings.input_size(own), *own

    def _padded(self, size, owns) -> bool:
        """Whether images of a size at the network go one by one into a larger array; else they share batches."""
        if self._network.padded is None:
            return False
        return len(owns) == 1 or any(self._shapes.shape(self._vector(own))[:2] != size for own in owns)

    def _in_larger(self, image, size, confidence):
        own = image.shape[:2]
        shape = self._shapes.shape(self._vector(own))
        held = np.zeros((1, *shape[:2], self.settings.pixels.channels), np.uint8)
        held[0, :size[0], :size[1]] = resize_image(image, size)
        found = self._network.padded(held, np.array([size], np.int32), np.array([own], np.int32), shape[2:], confidence)
        return tuple(a if a is None else np.asarray(a)[0, :own[0], :own[1]] for a in found)

    def windows_of(self, size: tuple[int, int]) -> Protocol | None:
        """How an image of (h, w) at the network is cut so that memory stays bounded; None = it is seen at once.

        Raises:
          InputError: a side, or several scales of an image, that are beyond what can be cut.
        """
        protocol = self.settings.protocol
        if max(size) >= LONGEST:
            raise InputError(f'an image of {size[0]}x{size[1]} pixels: a side of {LONGEST} pixels or more\n'
                             'valid: tiles of it')
        if protocol.mode == 'sliding':
            if protocol.augmented or self._network.windows is None:
                return None
            large = 4 * size[0] * size[1] * len(self.classes) > TILED_FROM
            # Windows have one size, whatever the image's.
            return protocol if self._network.values is None or len(self._sizes) > FEW or large else None
        if self.config is None:  # an exported model takes the sizes that it was made for
            return None
        patch = size_multiple(self.config.model)
        cut = windowed(protocol, size, len(self.classes), patch if patch > 1 else None)
        if cut is not None and protocol.augmented:
            raise InputError(f'an image of {size[0]}x{size[1]} pixels is too large for several looks at the whole of it'
                             '\nset --config.eval.scales="(1.0,)" --config.eval.flip=False, or --config.data.resize')
        return cut

    def _by_windows(self, image, size, protocol, confidence):
        return predict_tiled(self._network.windows, resize_image(image, size), image.shape[:2], protocol,
                             self._windows_at_once(protocol), confidence)

    def _windows_at_once(self, protocol):
        return self.settings.batch if protocol is self.settings.protocol else 1  # those of `whole` are large

    def _scores(self, images):
        found = []
        for number, image in enumerate(images):
            image = as_bytes(image, self.settings.pixels, f'images[{number}]')
            size, protocol = self.settings.input_size(image.shape[:2]), self.settings.protocol
            seen = resize_image(image, size)
            cut = self.windows_of(size)
            if cut is not None:
                protocol = cut
                values = mean_scores(self._network.windows, seen, cut, self._windows_at_once(cut))
            else:
                values = self._network.values(seen[None])[0]
            values = resize_bilinear(jnp.asarray(values)[None], image.shape[:2], protocol.align_corners)[0]
            found.append(np.asarray(values if protocol.kind == 'probabilities' else jax.nn.softmax(values)))
        return found

    def _batch(self, images, size, confidence):
        """Images that share their size at the network, at most `eval.batch` of them."""
        # Filled up to a power of two: few shapes to compile for, few rows in vain.
        rows = 1 << (len(images) - 1).bit_length()
        batch = np.zeros((rows, *size, self.settings.pixels.channels), np.uint8)
        for row, image in enumerate(images):
            batch[row] = resize_image(image, size)
        values = self._network.values(batch)
        waiting = []
        for row, image in enumerate(images):
            own = image.shape[:2]
            # The canvas is cut to the image below: few shapes to compile for.
            waiting.append(self._choose(values, row, jnp.array(own, jnp.int32), canvas_size(own), confidence))
        found = []
        for image, arrays in zip(images, waiting):
            height, width = image.shape[:2]
            found.append(tuple(a if a is None else np.asarray(a)[0, :height, :width] for a in arrays))
        return found
