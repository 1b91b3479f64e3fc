"""The main job on the embedded dataset: labelled-only against semi-supervised, scored and drawn.

python -m s4mim_jax.quickstart --output=quickstart [--method=METHOD[,key=value...]] [--steps=1000]

Every part is the ordinary command line, so what is printed can be typed again by hand.
"""

import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from s4mim_jax.config import command_line, shipped
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.runs.run_folder import prepare, read_json
from s4mim_jax.runs.throughput import duration

CONFIG = shipped.folder() / 'shapes_start.py'
# Both as in docs/evidence.md, where five seeds of them are measured; scored by averages of their weights.
HOST = 'supervised,teacher.kind=ema,teacher.decay=0.99,class_balance=effective'
METHOD, STEPS = 'fixmatch_ema,tau=0.6,class_balance=effective', 1500
DRAWN = 8  # test images whose predictions are written as pictures


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    if positional or config_file:
        raise InputError('quickstart takes --output, --method, --steps and --config.KEY=VALUE overrides')
    if values.steps < 1:
        raise InputError(f'--steps={values.steps}: must be at least 1')
    for method in (HOST, values.method):  # a wrong name ends here, not after the first run
        validate(command_line.load_config(f'{CONFIG}:{method}', overrides))
    folder, started = prepare(values.output, '--output'), time.monotonic()
    extra = [f'--config.{key}={text}' for key, text in overrides]
    name, scores = named(values.method), {}
    for number, method in enumerate((HOST, values.method), 1):
        workdir = folder / named(method)
        print(f'\n[{number}/2] {method}', flush=True)
        call('train', f'--config={CONFIG}:{method}', f'--workdir={workdir}',
             f'--config.total_steps={values.steps}', f'--config.log.every={max(1, values.steps // 10)}',
             f'--config.eval.every={max(1, values.steps // 2)}', *extra)
        call('evaluate', f'--workdir={workdir}', '--split=test')
        scores[workdir.name] = read_json(workdir / 'eval' / 'test.json')
    print(f'\npredictions of {name}', flush=True)
    photos = write_photos(folder / 'images', folder / name)
    call('predict', f'--workdir={folder / name}', f'--output={folder / "predictions"}', str(photos))
    print('\nthe page that compares both', flush=True)
    call('report', str(folder / named(HOST)), str(folder / name), f'--output={folder / "report"}')
    print(table(scores, folder, name, time.monotonic() - started), flush=True)
    return 0


def named(method: str) -> str:
    """The folder of a method's run: its name without its settings."""
    return method.partition(',')[0]


def call(module: str, *arguments: str) -> None:
    """Runs one of the package's commands as a user would; its failure ends the quickstart."""
    line = ['-m', f's4mim_jax.{module}', *arguments]
    print('$ python ' + ' '.join(line), flush=True)
    status = subprocess.run([sys.executable, *line], check=False).returncode
    if status:
        sys.exit(status if status > 0 else 128 - status)


def write_photos(folder: Path, workdir: Path) -> Path:
    """Writes a few test images as files, as if they were a user's own."""
    from s4mim_jax import data
    from s4mim_jax.runs.run_folder import read_config
    folder.mkdir(exist_ok=True)
    source = data.open_source(read_config(workdir).data)
    for sample in data.evaluation_split(source, 'test')[:DRAWN]:
        (folder / f'{Path(sample.id).name}.png').write_bytes(source.read_bytes(sample.image))
    return folder


def table(scores: dict, folder: Path, method: str, seconds: float) -> str:
    """The closing table: both mIoUs on the test split, the gain, where the files lie."""
    host, semi = scores[named(HOST)]['miou'], scores[method]['miou']
    width = max(len(method), len('labelled only'))
    return '\n'.join([
        '', f'{"test split of shapes":<{width + 8}}  mIoU', '-' * (width + 14),
        f'{"labelled only":<{width + 8}}  {host:.4f}', f'{method:<{width + 8}}  {semi:.4f}',
        f'{"gain":<{width + 8}}  {semi - host:+.4f}', '',
        'one run each, and seeds differ by some points: docs/evidence.md', '',
        f'runs         {folder / named(HOST)}, {folder / method}',
        f'scores       {folder / named(HOST) / "eval" / "test.json"}, {folder / method / "eval" / "test.json"}',
        f'predictions  {folder / "predictions"} (class ids as PNG, overlays as JPEG)',
        f'page         {folder / "report" / "index.html"} (curves, classes, pictures; open it in a browser)',
        f'curves       tensorboard --logdir {folder}', f'time         {duration(seconds)}', '',
        'your own images:  python -m s4mim_jax.fit FOLDER --output=my_run    (docs/fit.md)'])


if __name__ == '__main__':
    flags.DEFINE_string('output', 'quickstart', 'folder for everything')
    flags.DEFINE_string('method', METHOD, 'the method beside labelled-only, with settings: METHOD,key=value')
    flags.DEFINE_integer('steps', STEPS, 'updates of each of the two runs')
    command_line.run(main)
