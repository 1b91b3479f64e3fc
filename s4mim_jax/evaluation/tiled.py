"""Sliding windows over an image of any height in memory that does not depend on it.

`inference` adds up the scores of a whole batch on the device. Here the windows are worked off row by
row; as soon as no window to come touches a row of pixels, its classes are decided and its scores are
forgotten. Held at any time: scores of one window's height, [window height, width, C] float32, one
call's windows, and the answer, a byte a pixel (four more with confidence).
"""

from collections.abc import Callable, Iterator

import numpy as np

from s4mim_jax.evaluation.inference import Protocol, window_starts
from s4mim_jax.models.resize import interpolation_taps

_STRIP = 64  # rows of own pixels whose scores exist at once


def predict_tiled(predict: Callable, image: np.ndarray, own: tuple[int, int], protocol: Protocol, batch: int,
                  confidence: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """The classes that `sliding` gives one image.

    Args:
      predict: uint8 [batch, *window, channels] -> softmax, float32 [batch, *window, C].
      image: uint8 [h, w, channels], at the network's size.
      own: (H, W) of the answer.
      protocol: reads window, stride and align_corners.
      batch: windows in a call.
      confidence: give the probability of the best class too.

    Returns:
      (uint8 [H, W], float32 [H, W] or None).
    """
    ids = np.zeros(own, np.uint8)
    top = np.zeros(own, np.float32) if confidence else None
    size = image.shape[:2]
    low, high, weight = _taps(own[0], size[0], protocol.align_corners)
    columns = _taps(own[1], size[1], protocol.align_corners)
    held, first, done = None, 0, 0  # rows first, first + 1, ... of the mean; rows of the answer
    for rows in _finished_rows(predict, image, protocol, batch):
        held = rows if held is None else np.concatenate([held, rows])
        end = int(np.searchsorted(high, first + len(held)))  # own rows whose taps are all there
        for start in range(done, end, _STRIP):
            part = slice(start, min(start + _STRIP, end))
            scores = _mix(held, low[part] - first, high[part] - first, weight[part, None, None])
            if size[1] != own[1]:
                scores = _mix(scores.swapaxes(0, 1), *columns[:2], columns[2][:, None, None]).swapaxes(0, 1)
            ids[part] = np.argmax(scores, axis=-1)
            if confidence:
                top[part] = np.max(scores, axis=-1)
        done = end
        if done < own[0]:
            past = min(int(low[done]) - first, len(held))
            held, first = held[past:].copy(), first + past
    return ids, top


def mean_scores(predict: Callable, image: np.ndarray, protocol: Protocol, batch: int) -> np.ndarray:
    """The windows' mean softmax at the network's size, all of it: float32 [h, w, C]. See `predict_tiled`."""
    return np.concatenate(list(_finished_rows(predict, image, protocol, batch)))


def _finished_rows(predict, image, protocol, batch) -> Iterator[np.ndarray]:
    """Rows of the windows' mean softmax from top to bottom: float32 [n, w, C]."""
    height, width, window = *image.shape[:2], protocol.window
    padded = [max(n, w) for n, w in zip((height, width), window)]
    tops, lefts = (window_starts(n, w, s) for n, w, s in zip(padded, window, protocol.stride))
    across, down = np.zeros(padded[1], np.float32), np.zeros(padded[0], np.float32)
    for visits, starts, length in ((across, lefts, window[1]), (down, tops, window[0])):
        for start in starts:
            visits[start:start + length] += 1
    total = None
    for row, top in enumerate(tops):
        for start in range(0, len(lefts), batch):
            part = lefts[start:start + batch]
            windows = np.zeros((batch, *window, image.shape[2]), np.uint8)
            for slot, left in enumerate(part):
                seen = image[top:top + window[0], left:left + window[1]]
                windows[slot, :seen.shape[0], :seen.shape[1]] = seen
            found = np.asarray(predict(windows))
            if total is None:
                total = np.zeros((window[0], padded[1], found.shape[-1]), np.float32)
            for slot, left in enumerate(part):
                total[:, left:left + window[1]] += found[slot]
        finished = (tops[row + 1] if row + 1 < len(tops) else padded[0]) - top
        for start in range(0, finished, _STRIP):
            stop = min(start + _STRIP, finished)
            visits = down[top + start:top + stop, None] * across[None]
            # Rows and columns beyond the image are padding.
            yield (total[start:stop] / visits[..., None])[:max(height - top - start, 0), :width]
        total[:window[0] - finished] = total[finished:].copy()
        total[window[0] - finished:] = 0


def _taps(target: int, source: int, align_corners: bool):
    return interpolation_taps(np.arange(target, dtype=np.int32), source, np.int32(target), align_corners, np)


def _mix(values, first, second, weight):
    """Rows `first` and `second` of values [n, ...] mixed by `weight` of the second."""
    if not weight.any():
        return values[first]
    return values[first] * (1.0 - weight) + values[second] * weight
