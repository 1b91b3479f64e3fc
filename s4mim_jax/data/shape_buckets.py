"""Many image sizes on few array shapes. Plain arithmetic.

A program is compiled for every shape of its input, which takes as long as some images do; so images of many sizes are
padded up to a few shapes (`models/extent.py` keeps the results those of the unpadded images). Ours.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

Shape = tuple[int, ...]  # (h, w), or several of them: (h, w, H, W)

SHAPES = 8  # at most so many of a set of sizes
FEW = 3  # so many sizes keep arrays of their own: nothing is padded, and images of a size share batches
COMPILING = 4  # a program must spare the work of so many images of its shape; compiling it takes at least that
_GRANULARITIES = (32, 64, 128, 256, 512)
_CANDIDATES = 48  # shapes from which merging begins; its time grows with their third power


def bucket_shapes(sizes: Iterable[Shape], limit: int = SHAPES) -> dict[Shape, Shape]:
    """The bucket of each size, a shape of arrays: itself for FEW sizes, else one of at most `limit` that hold it.

    Shapes are merged in pairs, those first whose union adds the fewest pixels, until there are few enough and one more
    would add more work than compiling it saves. The buckets are a function of the sizes, not of their order.

    Args:
      sizes: of all images, each as often as it occurs.
    """
    counts = Counter(tuple(size) for size in sizes)
    if len(counts) <= FEW:
        return {size: size for size in counts}
    for step in _GRANULARITIES:
        held: Counter = Counter()
        for size, count in counts.items():
            held[tuple(-(-n // step) * step for n in size)] += count
        if len(held) <= _CANDIDATES:
            break
    while len(held) > 1:
        added, first, second = min(
            ((_union_cost(held, a, b), a, b) for a in held for b in held if a < b), key=lambda entry: entry)
        union = _union(first, second)
        if len(held) <= limit and added > COMPILING * pixels(union):
            break
        count = held.pop(first) + held.pop(second)
        held[union] += count
    # No shape needs to be larger than what it holds.
    members: dict[Shape, list[Shape]] = {}
    for size in counts:
        members.setdefault(smallest(held, size), []).append(size)
    tight = [_union(*sizes) for sizes in members.values()]
    return {size: smallest(tight, size) for size in counts}


def smallest(shapes: Iterable[Shape], size: Shape) -> Shape | None:
    """The shape with the fewest pixels that holds a size, or None."""
    fitting = [shape for shape in shapes if all(n <= m for n, m in zip(size, shape, strict=True))]
    return min(fitting, key=lambda shape: (pixels(shape), shape), default=None)


def pixels(shape: Sequence[int]) -> int:
    """Of all pairs of height and width."""
    return sum(h * w for h, w in zip(shape[::2], shape[1::2], strict=True))


def _union(*shapes: Shape) -> Shape:
    return tuple(map(max, zip(*shapes, strict=True)))


def _union_cost(held, first, second):
    """Pixels that the images of two shapes have more in one that holds both."""
    both = pixels(_union(first, second))
    return held[first] * (both - pixels(first)) + held[second] * (both - pixels(second))


class ShapeBuckets:
    """Buckets for images that come one after another.

    `expect` plans for sizes that are known; a size that comes unplanned goes into the smallest shape that holds it,
    unless that wastes more than half of it and there may still be another one. New shapes have room to spare, more with
    each, so that even sizes without an end need few.
    """

    def __init__(self, limit: int = SHAPES):
        self._limit, self._shapes, self._bucket_of = limit, [], {}

    def __len__(self) -> int:
        return len(self._shapes)

    def expect(self, sizes: Iterable[Shape]) -> None:
        """Plans for sizes beside the shapes that are there already."""
        new = [size for size in sizes if tuple(size) not in self._bucket_of]
        new = [tuple(size) for size in new if not self._good(smallest(self._shapes, size), size)]
        if len(set(new)) > FEW and len(self._shapes) < self._limit:  # few are met as they come
            buckets = bucket_shapes(new, self._limit - len(self._shapes))
            self._shapes += sorted(set(buckets.values()))
            self._bucket_of |= buckets

    def shape(self, size: Shape) -> Shape:
        """The shape for an image of a size; the same for every image of it from now on."""
        size = tuple(size)
        if size not in self._bucket_of:
            self._bucket_of[size] = self._choose(size)
        return self._bucket_of[size]

    def _choose(self, size):
        known, found = len(self._shapes), smallest(self._shapes, size)
        if found and (known >= self._limit or self._good(found, size)):
            return found
        shape = size
        if known >= self._limit - 3:  # the last ones hold all that was seen, and room for more
            shape = _union(size, *self._shapes)
        if known >= FEW:
            room = 1.25 if known < self._limit else 1.6
            shape = tuple(-(-int(n * room) // 64) * 64 for n in shape)
        self._shapes.append(shape)
        return shape

    @staticmethod
    def _good(shape, size) -> bool:
        return shape is not None and pixels(shape) <= 2 * pixels(size)
