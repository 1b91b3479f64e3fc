"""The program of a training step as it goes to an accelerator's compiler: a digest to compare two commits by.

    python benchmarks/lowered.py [--output=FILE.json]

Lowers the steps of several configs for `tpu` and `cuda` without a device or its compiler, as `plan` traces them, and
writes a digest and the numbers of operations of their StableHLO text. Two commits with the same digests give the
compiler the same operations with the same operands; in which order independent ones are written does not count.
"""

import argparse
import collections
import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = ('configs/voc.py:fixmatch', 'configs/voc.py:s4mim', 'configs/voc.py:unimatch', 'configs/camvid.py:unimatch',
         'configs/shapes_start.py:fixmatch')
PLATFORMS = {'tpu': 'tpu', 'cuda': 'gpu'}  # of a lowering -> of a device


def tracing_for(platform: str):
    """A context in which the project's own choice of forms is that of a platform, in this commit and in older ones."""
    from s4mim_jax.planning import program
    if hasattr(program, '_convolutions_for'):
        return program._convolutions_for(platform)
    return program.built_for(platform)


def text(file: str, lowered_for: str) -> str:
    import jax

    from s4mim_jax.config.command_line import load_config
    from s4mim_jax.planning.program import abstract_batch
    from s4mim_jax.planning.resolve import resolve
    from s4mim_jax.training import make_train_step
    from s4mim_jax.training.state import abstract_state
    platform = PLATFORMS[lowered_for]
    config = load_config(f'{ROOT / file}', [('model.pretrained', 'None'), ('precision', 'bfloat16')])
    config = resolve(config, None, num_classes=21, platform=platform)
    with tracing_for(platform):
        traced = jax.jit(make_train_step(config, 21)).trace(abstract_state(config, 21), abstract_batch(config))
        return traced.lower(lowering_platforms=(lowered_for,)).as_text()


def digest(program: str) -> str:
    """SHA-256 of a program's lines, names of values replaced by the digest of the line that computes them."""
    values, lines = {}, []
    for line in program.splitlines():
        name, equals, rest = line.strip().partition(' = ')
        if line.strip().startswith('func.func'):
            values = {}  # names begin anew in each function
        known = re.sub(r'%\w+', lambda found: values.get(found[0], found[0]),
                       rest if equals and name.startswith('%') else line.strip())
        lines.append(hashlib.sha256(known.encode()).hexdigest())
        if equals and name.startswith('%'):
            values[name.partition(':')[0]] = lines[-1]
    return hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path)
    parser.add_argument('--texts', type=Path, help='a folder for the texts, to see what differs')
    arguments = parser.parse_args()
    rows = []
    for file in STEPS:
        for platform in PLATFORMS:
            found = text(file, platform)
            if arguments.texts:
                arguments.texts.mkdir(parents=True, exist_ok=True)
                (arguments.texts / f'{Path(file).name.replace(":", "_")}_{platform}.txt').write_text(found)
            operations = collections.Counter(re.findall(r'stablehlo\.(\w+)', found))
            rows.append({'config': file, 'platform': platform, 'digest': digest(found),
                         'operations': sum(operations.values()), 'convolutions': operations['convolution'],
                         'while': operations['while'], 'case': operations['case']})
            print(', '.join(f'{name} {value}' for name, value in rows[-1].items()), flush=True)
    if arguments.output:
        import jax
        from provenance import command
        arguments.output.write_text(json.dumps({'command': command(__file__, sys.argv[1:]), 'jax': jax.__version__,
                                                'steps': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
