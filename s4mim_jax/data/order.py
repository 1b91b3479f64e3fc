"""Which sample stands at a position of a stream, and its random numbers: pure functions.

A stream is endless. Position g belongs to epoch g // N and shows sample permutation[g % N], the
permutation being a function of (seed, stream name, epoch) that is evaluated at one point without
ever being written out; so any position can be reached at once, and epochs need no memory.
"""

import hashlib

from s4mim_jax.data.tensorflow_setup import tf


def stream_seed(seed: int, name: str) -> int:
    """A seed of its own for every (config.seed, stream name), 0 .. 2^63 - 1."""
    digest = hashlib.sha256(f'{seed}/{name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'little') >> 1


def sample_at(seed: int, name: str, position: tf.Tensor, count: int) -> tf.Tensor:
    """Sample at a position: over every epoch of `count` positions a permutation.

    Args:
      seed: config.seed.
      name: of the stream.
      position: int64 scalar >= 0, global example index.
      count: number of samples.

    Returns:
      int64 scalar, 0 .. count - 1.
    """
    if count == 1:
        return tf.zeros_like(position)
    return tf.random.experimental.index_shuffle(
        position % count, _seeds(seed, name, position // count), tf.constant(count - 1, tf.int64))


def other_sample_at(seed: int, name: str, position: tf.Tensor, sample: tf.Tensor,
                    count: int) -> tf.Tensor:
    """A sample other than `sample` (itself if it is the only one): int64 scalar, 0 .. count - 1.

    The distance to it, 1 .. count - 1 around the circle of samples, is drawn without replacement
    within count - 1 successive positions.
    """
    if count == 1:
        return sample
    distance = 1 + sample_at(seed, name, position, count - 1)
    return (sample + distance) % count


def random_bits(seed: int, name: str, position: tf.Tensor) -> tf.Tensor:
    """uint32 [4], uniform over all values: the random numbers of a position in a named stream."""
    return tf.random.stateless_uniform([4], _seeds(seed, name, position), None, None, tf.uint32)


def local_position(count: tf.Tensor, rows: int, process_index: int,
                   process_count: int) -> tf.Tensor:
    """Global index of a process's count-th example; it owns `rows` adjacent rows of every batch."""
    step, row = count // rows, count % rows
    return step * rows * process_count + process_index * rows + row


def example_index(position: tf.Tensor) -> tf.Tensor:
    """int32 of a position. Wraps to 0 after 2^31 - 1, so it never turns negative."""
    return tf.cast(position % 2 ** 31, tf.int32)


def _seeds(seed: int, name: str, index: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(stream_seed(seed, name), tf.int64), index])
