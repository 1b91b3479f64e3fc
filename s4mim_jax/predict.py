"""Segments images with a trained run.

python -m s4mim_jax.predict --workdir=runs/unimatch --output=predictions photo.jpg photos/
"""

import collections
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags

from s4mim_jax import command
from s4mim_jax.data.images import decode_image
from s4mim_jax.errors import InputError
from s4mim_jax.prediction_files import find_images, name_results, write_results
from s4mim_jax.predictor import Predictor, load

_EVERY = 2.0  # seconds between lines of progress


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    if config_file:
        raise InputError(f'--config={config_file}: predict takes its config from --workdir; '
                         'single keys are set by --config.KEY=VALUE')
    for name, purpose in (('workdir', 'of the run'), ('output', 'to write to')):
        if not values[name].value:
            raise InputError(f'--{name} is missing; name the folder {purpose}')
    output = Path(values.output)
    paths = find_images(positional, output)
    names = name_results(paths, output)
    command.compilation_cache(values.workdir)
    predictor = load(values.workdir, values.checkpoint, values.weights, overrides)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--output={output} cannot be made ({error.strerror})\n'
                         'name a folder that you may write') from None
    print(f'{len(paths)} image(s), {predictor.weights} weights of step {predictor.step}, '
          f'{len(predictor.classes)} classes', flush=True)
    failed = predict_files(predictor, paths, names, output, values.confidence)
    return 1 if failed else 0


def predict_files(predictor: Predictor, paths: list[Path], names: list[str], output: Path,
                  confidence: bool = False) -> list[Path]:
    """Predicts and writes; reading and writing go on in threads while the device works.

    Args:
      predictor: the model. paths: images. names: their IDs, see `name_results`.
      output: folder that exists. confidence: write ID_confidence.png too.

    Returns:
      the files that could not be read; each was reported on stderr. The last line on stdout counts
      the images whose results are on disk.
    """
    threads = min(8, os.cpu_count() or 1)
    started = shown = time.monotonic()
    done, written, failed = 0, 0, []
    with ThreadPoolExecutor(threads) as pool:
        def read(item):
            path, name = item
            try:
                return path, name, decode_image(path.read_bytes(), str(path)), None
            except InputError as error:
                return path, name, None, str(error)
            except OSError as error:
                return path, name, None, f'{path}: cannot be read ({error.strerror})'

        writing = collections.deque()
        ahead = predictor.config.eval.batch + threads
        images = _ahead(pool, read, zip(paths, names), ahead)
        while items := list(itertools.islice(images, predictor.config.eval.batch)):
            readable = [item for item in items if item[3] is None]
            for path, _, _, message in items:
                if message:
                    failed.append(path)
                    print(message, file=sys.stderr, flush=True)
            found = predictor.predict([image for _, _, image, _ in readable], confidence)
            while writing:  # of the batch before: no more than two batches are held
                _written(writing.popleft(), output)
                written += 1
            for (_, name, image, _), (ids, top) in zip(readable, found):
                writing.append(pool.submit(write_results, output, name, image, ids, top, predictor.palette))
            done += len(items)
            if time.monotonic() - shown > _EVERY and done < len(paths):
                shown = time.monotonic()
                rate = done / (shown - started)
                left = (len(paths) - done) / rate
                print(f'{done}/{len(paths)} images, {rate:.1f}/s, {left:.0f} s left', flush=True)
        for future in writing:
            _written(future, output)
            written += 1
    seconds = time.monotonic() - started
    print(f'{written} of {len(paths)} images in {seconds:.1f} s '
          f'({len(paths) / max(seconds, 1e-6):.1f}/s): {output}', flush=True)
    if failed:
        print(f'{len(failed)} file(s) could not be read', file=sys.stderr, flush=True)
    return failed


def _ahead(pool: ThreadPoolExecutor, function, items: Iterable, count: int) -> Iterator:
    """Results in order, with at most `count` of them computed in advance."""
    items, waiting = iter(items), collections.deque()
    for item in itertools.islice(items, count):
        waiting.append(pool.submit(function, item))
    while waiting:
        result = waiting.popleft().result()
        for item in itertools.islice(items, 1):
            waiting.append(pool.submit(function, item))
        yield result


def _written(future, output: Path) -> None:
    try:
        future.result()
    except OSError as error:
        raise InputError(f'--output={output} cannot be written ({error})') from None


def run() -> None:
    """Defines the flags and starts. Importing defines none: other commands have flags of the same names."""
    flags.DEFINE_string('workdir', None, 'folder of the run')
    flags.DEFINE_string('output', None, 'folder for ID.png (class ids) and ID_overlay.jpg')
    flags.DEFINE_string('checkpoint', 'best', 'best, latest or a step')
    flags.DEFINE_string('weights', 'teacher', 'teacher (the student if there is none) or student')
    flags.DEFINE_bool('confidence', False,
                      'also write ID_confidence.png: probability of the class, 65535 = 1')
    flags.FLAGS.set_gnu_getopt(True)  # options may follow the images
    command.run(main)


if __name__ == '__main__':
    run()
