"""The teacher: an exponential moving average of the student, and what it says at several scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.models.resize import resize_bilinear

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class Maps(NamedTuple):
    """Class probabilities of a teacher, f32.

    full: [B, H, W, C] at the image's size, the mean over scales. coarse: [B, h, w, C], the same at the
    size of the decoder's output. single: [B, H, W, C], scale 1 alone.
    """

    full: jax.Array
    coarse: jax.Array
    single: jax.Array


def decay_at(step, decay: float) -> Float[Array, '']:
    """min(1 - 1/(t+1), decay): the average starts as a copy (UniMatch V2's released code).

    Args:
      step: integer, updates completed before this one.

    Returns:
      f32 scalar.
    """
    return jnp.minimum(1.0 - 1.0 / (jnp.asarray(step, jnp.float32) + 1.0), decay)


def longest_decay(decay: float, total_steps, half_life: float):
    """The decay of an average whose half-life is at most a share of the run (ours).

    In a short run the published decays average over most of it, and the teacher stays behind its student.

    Args:
      decay: the largest that is wanted. total_steps: updates of the run, an int or an int32 scalar. half_life: share
        of them; 0 = no bound.

    Returns:
      min(decay, 2^(-1 / (half_life total_steps))).
    """
    if not half_life:
        return decay
    least = jnp.minimum if isinstance(total_steps, jax.Array) else min
    return least(decay, 0.5 ** (1.0 / (half_life * total_steps)))


def blend(average, new, decay) -> object:
    """decay * average + (1 - decay) * new for float leaves; other leaves are copied from `new`.

    Averaging an integer buffer would corrupt it silently (the copy is ours).

    Args:
      average, new: trees of arrays, of one structure and one shape a leaf. decay: f32 scalar in 0..1.

    Returns:
      a tree like `average`, its float dtypes kept; computed in float32.
    """
    def leaf(a, n):
        if not jnp.issubdtype(n.dtype, jnp.floating):
            return n
        return (decay * a.astype(jnp.float32) + (1.0 - decay) * n.astype(jnp.float32)).astype(a.dtype)

    return jax.tree.map(leaf, average, new)


def snapped(size: tuple[int, int], scale: float, stride: int, align_corners: bool) -> tuple[int, int]:
    """The size nearest to scale * size at which the output-stride grid stays aligned (ours).

    k * stride + 1 with align_corners, k * stride otherwise, k >= 1. Scale 1 leaves every size alone.
    """
    if scale == 1.0:
        return tuple(size)
    extra = 1 if align_corners else 0
    # Half way between two sizes the larger one: Python's round would take the even one.
    return tuple(max(int((scale * side - extra) / stride + 0.5), 1) * stride + extra for side in size)


def ensemble(outputs: Callable, images: Float[Array, 'B H W D'], scales: tuple[float, ...], stride: int,
             align_corners: bool, own=None, *, patches: bool = False) -> Maps:
    """Mean softmax over scales of the image (MaskMatch's ensemble; scales and order are ours).

    Args:
      outputs: images f32 [B, h, w, 3] -> models.Outputs, without gradient.
      images: normalised.
      scales: contains 1.
      stride: of the encoder's last map, for `snapped`. align_corners: convention of resizing.
      own: models.Outputs-like (logits, coarse) to take for scale 1 instead of a pass; None = a pass.
      patches: the encoder is a ViT, which takes multiples of its stride in either convention.

    Returns:
      Maps, f32: `full` [B, H, W, C] at the size of `images`; `coarse` [B, h, w, C] at the size that the
      decoder's output has at scale 1; `single` [B, H, W, C]. Softmax first, then the resize.
    """
    size, full, coarse = images.shape[1:3], [], []
    for scale in sorted(scales, key=lambda s: s != 1.0):  # scale 1 first: the others follow its sizes
        if scale == 1.0:
            seen = own if own is not None else outputs(images)
        else:
            scaled = snapped(size, scale, stride, align_corners and not patches)
            seen = outputs(resize_bilinear(images, scaled, align_corners))
        full.append(resize_bilinear(jax.nn.softmax(seen.logits), size, align_corners))
        like = coarse[0] if coarse else seen.coarse
        coarse.append(resize_bilinear(jax.nn.softmax(seen.coarse), like.shape[1:3], align_corners))
    mean = lambda maps: sum(maps) / len(maps)
    return Maps(mean(full), mean(coarse), full[0])
