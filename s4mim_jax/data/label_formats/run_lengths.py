"""Run lengths as COCO and Label Studio write them, in both directions."""

from collections.abc import Sequence

import numpy as np

from s4mim_jax.config.errors import InputError


def coco_counts(counts: str | bytes | Sequence[int], size: tuple[int, int], where: str) -> np.ndarray:
    """The counts of a COCO `segmentation`, int64 [N]; down the columns, beginning outside.

    Args:
      counts: a list (uncompressed), or the text of pycocotools: six bits a character from code 48 on, five of them
        data, low ones first, a bit that says whether more follow, the last one signed; from the third count on the
        difference to the one two places before. Decoded by pycocotools where that is installed.
      size: (height, width).

    Raises:
      InputError: text that ends within a number, or characters that are none of the code.
    """
    if not isinstance(counts, (str, bytes)):
        return _integers(counts, where)
    text = counts if isinstance(counts, bytes) else counts.encode('latin-1', 'replace')
    numbers = _decode_text(text, where)
    if int(numbers.sum()) != size[0] * size[1]:
        return numbers  # the message about the length is that of `Runs`; pycocotools would read on past the end
    try:
        from pycocotools import mask as official
    except ImportError:
        return numbers
    pixels = official.decode({'size': list(size), 'counts': text}).T.ravel()
    return counts_of(pixels)


def coco_text(counts: Sequence[int]) -> str:
    """The inverse of `coco_counts` for text."""
    counts, text = [int(n) for n in counts], []
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr((bits | (32 if more else 0)) + 48))
    return ''.join(text)


def _decode_text(text: bytes, where: str) -> np.ndarray:
    numbers, place = [], 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            if place == len(text) or not 48 <= text[place] < 112:
                what = 'ends within a number' if place == len(text) else f'holds {chr(text[place])!r}'
                raise InputError(f'{where}: compressed run lengths: the text {what} at character {place}\n'
                                 'valid: the `counts` that pycocotools writes')
            bits = text[place] - 48
            value |= (bits & 31) << shift
            more, place, shift = bool(bits & 32), place + 1, shift + 5
            if not more and bits & 16:
                value |= -1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
    return np.array(numbers, np.int64)


def counts_of(pixels: np.ndarray) -> np.ndarray:
    """Run lengths of a flat bool array, beginning with a run of False (of length 0 if need be); int64 [N]."""
    flat = np.concatenate([[False], np.asarray(pixels, bool).ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [flat.size - 1]])).astype(np.int64)


def brush_alpha(data: Sequence[int], size: tuple[int, int], where: str) -> np.ndarray:
    """The alpha channel of a Label Studio brush, uint8 [H, W].

    Bits, high ones first: 32 the number of values (4 a pixel, RGBA, along the rows); 5 the width of a value less one;
    four times 4 the widths of a length less one. Then blocks: 1 bit whether one value is repeated, 2 bits which of the
    four widths, the length less one, and the value or values.

    Raises:
      InputError: data that end too early, or hold another number of values than 4 x height x width.
    """
    values = _integers(data, where)
    if ((values < 0) | (values > 255)).any():
        raise InputError(f'{where}: run lengths of a brush are bytes, and one is '
                         f'{int(values[(values < 0) | (values > 255)][0])}\nvalid: 0..255')
    bits = np.unpackbits(values.astype(np.uint8))
    weights = 1 << np.arange(64, dtype=np.uint64)[::-1]
    place = 0

    def read(count: int) -> int:
        nonlocal place
        part = bits[place:place + count]
        if len(part) < count:
            raise InputError(f'{where}: the run lengths end within a block ({len(values)} bytes)\n'
                             'valid: the `rle` of a Label Studio brush, whole')
        place += count
        return int((part * weights[64 - count:]).sum())

    total = read(32)
    if total != 4 * size[0] * size[1]:
        raise InputError(f'{where}: run lengths of {total} values, but 4 x {size[0]} x {size[1]} = '
                         f'{4 * size[0] * size[1]} (height x width) belong to the image\n'
                         'valid: the original_width and original_height that the brush was drawn at')
    width, lengths = read(5) + 1, [read(4) + 1 for _ in range(4)]
    out, done = np.zeros(total, np.uint8), 0
    while done < total:
        repeated, count = read(1), read(lengths[read(2)]) + 1
        end = min(done + count, total)
        if repeated:
            out[done:end] = read(width) & 255
        else:
            for index in range(done, end):
                out[index] = read(width) & 255
        done = end
    return out.reshape(*size, 4)[..., 3]


def brush_data(mask: np.ndarray) -> list[int]:
    """The bytes of a Label Studio brush for a bool [H, W] mask: RGBA values of 0 and 255; see `brush_alpha`."""
    values = np.repeat(np.asarray(mask, bool).ravel(), 4)
    text = [f'{values.size:032b}', f'{7:05b}', *(f'{n:04b}' for n in (2, 3, 7, 15))]
    runs, value = counts_of(values), 0
    for run in runs.tolist():
        while run > 0:
            part = min(run, 1 << 16)
            text.append(f'111{part - 1:016b}{value:08b}')
            run -= part
        value = 255 - value
    bits = ''.join(text)
    bits += '0' * (-len(bits) % 8)
    return [int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)]


def _integers(values: Sequence[int], where: str) -> np.ndarray:
    try:
        found = np.asarray(values)
        if found.ndim == 1 and found.size and (found == np.round(found)).all():
            return found.astype(np.int64)
    except (TypeError, ValueError):
        pass
    raise InputError(f'{where}: run lengths {str(values)[:40]!r}\nvalid: a list of whole numbers, at least one')
