"""From images at the network's size to scores of every class: whole, sliding, center_crop."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.config.encoder_sizes import evaluation_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.evaluation.augmented import mean_over_copies, scaled_size
from s4mim_jax.evaluation.own_size import decide, nearest_source
from s4mim_jax.models import extent
from s4mim_jax.views import MEAN, STD, normalize, statistics

MODES = ('whole', 'sliding', 'center_crop')

# (variables, normalised images f32 [B, h, w, 3]) -> logits f32 [B, h, w, C], evaluation mode
ApplyFn = Callable[[object, jax.Array], jax.Array]


class Protocol(NamedTuple):
    """How images are evaluated.

    mode: `whole`: the image at once; its logits are resized to the own size. `sliding`: windows at
      a stride of two thirds, the last one shifted back to end with the image, their softmax averaged
      and the mean resized; an image smaller than the window is padded with black at the bottom and
      right, as training crops are. `center_crop`: only the window in the middle is seen and scored;
      an own pixel counts if the network pixel nearest to it lies in the window.
    window: (height, width) in pixels at the network's size; unused by `whole`.
    align_corners: the model's convention of resizing.
    scales, flip: copies of the image over which probabilities are averaged, see `augmented`.
    multiple: of the sizes of scaled copies.
    mean, std: of the images' channels, on the scale 0..1.
    """

    mode: str
    window: tuple[int, int]
    align_corners: bool
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    multiple: int = 1
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    def normalize(self, images: jax.Array) -> jax.Array:
        """uint8 [..., C] -> float32, see `views.normalize`."""
        return normalize(images, self.mean, self.std)

    @property
    def stride(self) -> tuple[int, int]:
        return tuple(max(2 * n // 3, 1) for n in self.window)

    @property
    def kind(self) -> str:
        """What `class_values` gives: 'logits' or 'probabilities'."""
        return 'probabilities' if self.mode == 'sliding' or self.augmented else 'logits'

    @property
    def augmented(self) -> bool:
        """Whether an image is predicted more than once, at other scales or mirrored."""
        return self.flip or self.scales != (1.0,)


def protocol_from(config) -> Protocol:
    """The protocol that `config.eval` asks for.

    Raises:
      InputError: unknown mode, or a window that is not two positive multiples of `eval.multiple` and a ViT's patch.
    """
    if config.eval.mode not in MODES:
        raise InputError(f'--config.eval.mode={config.eval.mode}: unknown\nvalid: {", ".join(MODES)}')
    window = config.eval.window or config.data.crop
    multiple = evaluation_multiple(config)
    fits = len(window) == 2 and all(isinstance(n, int) and n > 0 and n % multiple == 0 for n in window)
    if config.eval.mode != 'whole' and not fits:
        key = 'eval.window' if config.eval.window else 'data.crop'
        raise InputError(f'--config.{key}={tuple(window)}: {config.eval.mode} needs a (height, width) of '
                         f'positive multiples of {multiple}')
    scales = tuple(config.eval.scales)
    valid = all(isinstance(s, (int, float)) and 0 < s <= 8 for s in scales) and len(set(scales)) == len(scales)
    if not scales or not valid:
        raise InputError(f'--config.eval.scales={scales}: valid are different numbers above 0 and up to 8, such as '
                         '(0.75, 1.0, 1.25)')
    return Protocol(config.eval.mode, tuple(window), bool(config.model.align_corners), tuple(map(float, scales)),
                    bool(config.eval.flip), multiple, *statistics(config.data))


def infer(apply_fn: ApplyFn, variables, images: jax.Array, own: jax.Array, canvas: tuple[int, int],
          protocol: Protocol, *, confidence: bool = False) -> tuple[jax.Array, jax.Array | None]:
    """Class ids at the images' own sizes. Compiles once for each (h, w) and canvas.

    Args:
      apply_fn: the network.
      variables: its variables.
      images: uint8 [B, h, w, 3] at the network's size.
      own: int32 [B, 2], own (H, W) of each image, at most the canvas.
      canvas: static (Hc, Wc).
      protocol: of the evaluation.
      confidence: give the probability of the best class too.

    Returns:
      (uint8 [B, Hc, Wc], float32 [B, Hc, Wc] or None). Outside an image, and outside the scored
      window of `center_crop`, they mean nothing.
    """
    values = class_values(apply_fn, variables, images, protocol)
    kind = protocol.kind if confidence else None
    return decide(values, own, canvas, protocol.align_corners, confidence=kind)


def class_values(apply_fn: ApplyFn, variables, images: jax.Array, protocol: Protocol,
                 seen: jax.Array | None = None) -> jax.Array:
    """uint8 [B, h, w, 3] -> float32 [B, h, w, C], of kind `protocol.kind`.

    `center_crop` continues the window's border outwards.

    Args:
      seen: int32 [B, 2], with `whole` and one copy only: the size of each image, which lies at the top left; what is
        around it counts for nothing. Needs a network of `encoder_sizes.takes_padding`. None = all of it is image.
    """
    if seen is not None:
        with extent.padded(images.shape[1:3], seen):
            return apply_fn(variables, protocol.normalize(images))
    if not protocol.augmented:
        return _values(apply_fn, variables, images, protocol)

    def predict(copy, scale):
        window = scaled_size(protocol.window, scale, protocol.multiple)
        part = protocol._replace(window=window) if protocol.mode == 'center_crop' else protocol
        values = _values(apply_fn, variables, copy, part)
        return values if protocol.mode == 'sliding' else jax.nn.softmax(values.astype(jnp.float32))

    return mean_over_copies(predict, images, protocol.scales, protocol.flip, protocol.multiple, protocol.align_corners)


def _values(apply_fn, variables, images, protocol):
    """One copy of the images: logits, or with `sliding` probabilities, float32 [B, h, w, C]."""
    size = images.shape[1:3]
    if protocol.mode == 'whole':
        return apply_fn(variables, protocol.normalize(images))
    if protocol.mode == 'sliding':
        return _slide(apply_fn, variables, images, protocol)
    top, left, height, width = middle(size, protocol.window)
    cut = images[:, top:top + height, left:left + width]
    logits = apply_fn(variables, protocol.normalize(cut))
    around = ((0, 0), (top, size[0] - top - height), (left, size[1] - left - width), (0, 0))
    return jnp.pad(logits, around, mode='edge')


def window_values(apply_fn: ApplyFn, variables, windows: jax.Array, protocol: Protocol) -> jax.Array:
    """Windows of `sliding`, uint8 [B, *window, channels] -> probabilities float32 [B, *window, C]."""
    return jax.nn.softmax(apply_fn(variables, protocol.normalize(windows)).astype(jnp.float32))


def middle(size: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the window in the middle, no larger than the image."""
    height, width = (min(n, w) for n, w in zip(size, window))
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def scored(own: jax.Array, size: tuple[int, int], canvas: tuple[int, int], protocol: Protocol) -> jax.Array:
    """Which pixels of the canvas count: those of the image, in `center_crop` those of its window.

    Args:
      own: int32 [B, 2]. size: (h, w) of the network's input. canvas: (Hc, Wc).

    Returns:
      bool [B, Hc, Wc].
    """
    cropped = protocol.mode == 'center_crop'
    top, left, height, width = middle(size, protocol.window if cropped else size)

    def line(count, source, target, first, length):
        index = jnp.arange(count, dtype=jnp.int32)
        nearest = nearest_source(index, source, target, protocol.align_corners)
        return (index < target) & (nearest >= first) & (nearest < first + length)

    def one(target):
        return (line(canvas[0], size[0], target[0], top, height)[:, None]
                & line(canvas[1], size[1], target[1], left, width)[None, :])

    return jax.vmap(one)(own)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Starts of windows that cover 0 .. length - 1; the last is shifted back to end there."""
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def _slide(apply_fn, variables, images, protocol):
    """Mean softmax over windows; one window at a time, so memory does not grow with their number."""
    batch, *size = images.shape[:3]
    window, stride = protocol.window, protocol.stride
    padded = [max(n, w) for n, w in zip(size, window)]
    images = jnp.pad(images, ((0, 0), *((0, p - n) for p, n in zip(padded, size)), (0, 0)))
    starts = np.array([(y, x) for y in window_starts(padded[0], window[0], stride[0])
                       for x in window_starts(padded[1], window[1], stride[1])], np.int32)
    visits = np.zeros((*padded, 1), np.float32)
    for y, x in starts:
        visits[y:y + window[0], x:x + window[1]] += 1

    def predict_window(start):
        part = jax.lax.dynamic_slice(images, (0, start[0], start[1], 0), (batch, *window, images.shape[-1]))
        return window_values(apply_fn, variables, part, protocol)

    def add(total, start):
        corner = (0, start[0], start[1], 0)
        probabilities = predict_window(start)
        here = jax.lax.dynamic_slice(total, corner, probabilities.shape)
        return jax.lax.dynamic_update_slice(total, here + probabilities, corner), None

    classes = jax.eval_shape(predict_window, starts[0]).shape[-1]
    total = jnp.zeros((batch, *padded, classes), jnp.float32)
    total, _ = jax.lax.scan(add, total, starts)
    return (total / visits)[:, :size[0], :size[1]]
