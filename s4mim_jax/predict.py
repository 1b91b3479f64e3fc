"""Segments images with a trained run.

python -m s4mim_jax.predict --workdir=runs/unimatch --output=predictions photo.jpg photos/
python -m s4mim_jax.predict --workdir=runs/unimatch --output=pseudo --pseudo_labels [--ignore_below=0.9]

`--polygons=labelme|coco` writes outlines for an annotation tool too.
"""

import collections
import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import flags

from s4mim_jax.config import allocator, command_line, xla_flags
from s4mim_jax.config.errors import InputError, unforeseen
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.left_out import as_lines
from s4mim_jax.prediction.files import find_images, header_size, name_results, pixel_count, write_results
from s4mim_jax.prediction.loading import load
from s4mim_jax.prediction.polygon_files import KINDS, PolygonFiles
from s4mim_jax.prediction.predictor import Predictor
from s4mim_jax.runs.waiting import counting

_EVERY = 2.0  # seconds between lines of progress
_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what no other image would survive
HEADERS = 1000  # files whose sizes are looked at before the first prediction
PIXELS_AT_ONCE = 2 ** 25  # of images read ahead, or predicted together; at least one image, whatever its size


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    command_line.refuse_config(config_file, 'predict')
    for name, purpose in (('workdir', 'of the run'), ('output', 'to write to')):
        if not values[name].value:
            raise InputError(f'--{name} is missing; name the folder {purpose}')
    output = Path(values.output)
    if values.ignore_below is not None and not values.pseudo_labels:
        raise InputError(f'--ignore_below={values.ignore_below:g} says which pseudo-labels are kept: add '
                         '--pseudo_labels')
    left = []
    if values.pseudo_labels:
        from s4mim_jax.prediction import pseudo_label_files as pseudo_labels  # brings the readers of datasets
        from s4mim_jax.runs import run_folder
        found = pseudo_labels.named_images(positional, output, left) if positional else None
    else:
        found = find_images(positional, output, left)
        found = found, name_results(found, output)
    allocator.keep_memory()
    xla_flags.for_cpu()
    command_line.compilation_cache(values.workdir)
    predictor = load(values.workdir, values.checkpoint, values.weights, overrides)
    if values.pseudo_labels and predictor.config is None:
        raise InputError(f'--pseudo_labels: {values.workdir} is an exported model, which knows no dataset\n'
                         'give the run folder as --workdir')
    paths, names = found or pseudo_labels.unlabelled_images(predictor.config)
    pseudo = None
    if values.pseudo_labels:
        threshold = 0.9 if values.ignore_below is None else values.ignore_below
        pseudo = pseudo_labels.PseudoLabels(output, threshold, predictor.classes, predictor.palette,
                                            predictor.config.data.label_map,
                                            run_folder.read_json(Path(values.workdir) / 'run.json').get('masks'))
        pseudo.refuse_existing(names)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--output={output} cannot be made ({error.strerror})\n'
                         'name a folder that you may write') from None
    for line in as_lines(left):
        print(line, flush=True)
    print(f'{len(paths)} image(s), {predictor.weights} weights of step {predictor.step}, '
          f'{len(predictor.classes)} classes', flush=True)
    polygons = None
    if values.polygons:
        polygons = PolygonFiles(values.polygons, output, predictor.classes, dict(zip(names, paths)),
                                values.polygon_tolerance)
    some = paths[::-(-len(paths) // HEADERS)]
    advice = predictor.expect([size for size in map(header_size, some) if size])
    if advice:
        print(advice, file=sys.stderr, flush=True)
    failed = predict_files(predictor, paths, names, output, values.confidence, pseudo, polygons)
    return 1 if failed else 0


def predict_files(predictor: Predictor, paths: list[Path], names: list[str], output: Path,
                  confidence: bool = False, pseudo=None, polygons=None) -> list[Path]:
    """Predicts and writes; reading and writing go on in threads while the device works.

    Args:
      predictor: the model. paths: images. names: their IDs, see `name_results`.
      output: folder that exists. confidence: write ID_confidence.png too.
      pseudo: a `PseudoLabels` that writes instead; None = write predictions.
      polygons: a `PolygonFiles` that writes outlines too, or None.

    Returns:
      the files without a result: not read, not predicted or not written; each was reported on stderr, and the others
      went on. The last line on stdout counts the images whose results are on disk.

    Raises:
      InputError: the output takes nothing any more: a full or read-only disk.
    """
    threads = min(8, os.cpu_count() or 1)
    started = shown = time.monotonic()
    done, results, failed, told = 0, [], [], False
    form = predictor.settings.pixels

    def write(name, image, ids, top):
        if polygons is not None:
            polygons.add(name, ids if pseudo is None else np.where(top >= pseudo.threshold, ids, np.uint8(IGNORE)))
        if pseudo is not None:
            return pseudo.write(name, image, ids, top)
        return write_results(output, name, image, ids, top, predictor.palette)

    def fail(path, message):
        failed.append(path)
        print(message, file=sys.stderr, flush=True)

    def finish(path, future):
        try:
            results.append(future.result())
        except OSError as error:
            if error.errno in _NOTHING_MORE:
                raise InputError(f'--output={output} cannot be written ({error})') from None
            fail(path, f'{path}: its result cannot be written ({error})')
        except InputError as error:
            fail(path, f'{path}: its result cannot be written ({error})')
        except Exception as error:
            fail(path, f'{path}: {unforeseen(error)}')

    with ThreadPoolExecutor(threads) as pool:
        def read(item):
            path, name = item
            try:
                return path, name, decode_image(path.read_bytes(), str(path), form), None
            except InputError as error:
                return path, name, None, str(error)
            except OSError as error:
                return path, name, None, f'{path}: cannot be read ({error.strerror or error})'
            except MemoryError:
                return path, name, None, f'{path}: too large to be read in the memory that is left'
            except Exception as error:
                return path, name, None, f'{path}: {unforeseen(error)}'

        writing = collections.deque()
        ahead = predictor.settings.batch + threads
        images = _ahead(pool, read, zip(paths, names), ahead, lambda item: pixel_count(item[0]))
        for items in _batches(images, predictor.settings.batch):
            readable = [item for item in items if item[3] is None]
            for path, _, _, message in items:
                if message:
                    fail(path, message)
            told = told or _advise(readable, predictor)
            first = counting('the first images, for which the network is compiled', stream=sys.stderr, quiet=_EVERY)
            with contextlib.nullcontext() if done else first:
                found = _predicted(predictor, readable, confidence or pseudo is not None, fail)
            while writing:  # of the batch before: no more than two batches are held
                finish(*writing.popleft())
            for (path, name, image, _), result in zip(readable, found):
                if result is not None:
                    writing.append((path, pool.submit(write, name, image, *result)))
            done += len(items)
            if time.monotonic() - shown > _EVERY and done < len(paths):
                shown = time.monotonic()
                rate = done / (shown - started)
                left = (len(paths) - done) / rate
                print(f'{done}/{len(paths)} images, {rate:.1f}/s, {left:.0f} s left', flush=True)
        for item in writing:
            finish(*item)
    seconds = time.monotonic() - started
    print(f'{len(results)} of {len(paths)} images in {seconds:.1f} s '
          f'({len(paths) / max(seconds, 1e-6):.1f}/s): {output}', flush=True)
    if pseudo is not None:
        print(pseudo.finish(results), flush=True)
    if polygons is not None:
        print(polygons.finish(), flush=True)
    if failed:
        print(f'{len(failed)} of {len(paths)} image(s) have no result', file=sys.stderr, flush=True)
    return failed


def _ahead(pool: ThreadPoolExecutor, function, items: Iterable, count: int, pixels) -> Iterator:
    """Results in order, with at most `count` and about PIXELS_AT_ONCE (by `pixels(item)`) computed in advance."""
    waiting, held = collections.deque(), 0
    for item in items:
        size = pixels(item)
        while waiting and (len(waiting) >= count or held + size > PIXELS_AT_ONCE):
            future, gone = waiting.popleft()
            held -= gone
            yield future.result()
        waiting.append((pool.submit(function, item), size))
        held += size
    while waiting:
        yield waiting.popleft()[0].result()


def _batches(images: Iterator, count: int) -> Iterator[list]:
    """Lists of at most `count` read items and about PIXELS_AT_ONCE."""
    batch, held = [], 0
    for item in images:
        size = 0 if item[2] is None else item[2].shape[0] * item[2].shape[1]
        if batch and (len(batch) == count or held + size > PIXELS_AT_ONCE):
            yield batch
            batch, held = [], 0
        batch, held = [*batch, item], held + size
    if batch:
        yield batch


def _predicted(predictor: Predictor, items: list, confidence: bool, fail) -> list:
    """Results of the read items, None for one that fails: those that share its batch are tried one by one."""
    images = [image for _, _, image, _ in items]
    try:
        return predictor.predict(images, confidence)
    except Exception as error:
        if len(items) > 1:
            return [result for item in items for result in _predicted(predictor, [item], confidence, fail)]
        height, width = images[0].shape[:2]
        if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
            fail(items[0][0], f'{items[0][0]}: {height}x{width} pixels are too large for the memory that is left; '
                              '--config.eval.mode=sliding looks at windows')
        else:
            fail(items[0][0], f'{items[0][0]}: {error if isinstance(error, InputError) else unforeseen(error)}')
        return [None]


def _advise(items: list, predictor: Predictor) -> bool:
    """Says that an image is cut into windows although the mode is another; True if it has."""
    if predictor.settings.protocol.mode == 'sliding':
        return False
    for path, _, image, _ in items:
        with contextlib.suppress(InputError):  # what is too large altogether fails for itself
            cut = predictor.windows_of(predictor.settings.input_size(image.shape[:2]))
            if cut is not None:
                print(f'{path}: {image.shape[0]}x{image.shape[1]} pixels are too many for the network at once and go '
                      f'through it in windows of {cut.window[0]}x{cut.window[1]}; so do others of that size '
                      '(--config.eval.mode=sliding --config.eval.window="(HEIGHT, WIDTH)" chooses windows for all)',
                      file=sys.stderr, flush=True)
                return True
    return False


def run() -> None:
    """Defines the flags and starts. Importing defines none: other commands have flags of the same names."""
    flags.DEFINE_string('workdir', None, 'folder of the run')
    flags.DEFINE_string('output', None, 'folder for ID.png (class ids) and ID_overlay.jpg')
    flags.DEFINE_string('checkpoint', 'best', 'best, latest or a step')
    flags.DEFINE_string('weights', 'better', 'teacher (the student if there is none), student, or better: the one with '
                        'the higher score on val when the training ended')
    flags.DEFINE_bool('confidence', False,
                      'also write ID_confidence.png: probability of the class, 65535 = 1')
    flags.FLAGS.set_gnu_getopt(True)  # options may follow the images
    flags.DEFINE_bool('pseudo_labels', False, 'write masks to correct and to train on, ignored where the network is '
                      'not sure; without images: of the run\'s unlabelled training images')
    flags.DEFINE_float('ignore_below', None, 'with --pseudo_labels: probability below which a pixel is ignored [0.9]')
    flags.DEFINE_enum('polygons', None, KINDS, 'also write outlines for an annotation tool')
    flags.DEFINE_float('polygon_tolerance', 1.0, 'pixels that an outline may lie from the exact one; 0 = exact')
    command_line.run(main)


if __name__ == '__main__':
    run()
