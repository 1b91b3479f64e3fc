"""Says what a run will need, before anyone pays for a machine. Needs no dataset and no accelerator.

    python -m s4mim_jax.plan --config=configs/camvid.py:s4mim [--devices=8]
    python -m s4mim_jax.plan --config=configs/voc.py:s4mim --batch_per_device=4 --topology=v5e:16x16 --output=plan.json

Exit status: 0 the step fits, 1 it does not fit into a device's memory (the plan is made all the same),
2 a bad input.
"""

import json
import os
from pathlib import Path

from absl import flags

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError

DOES_NOT_FIT = 1


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    command_line.refuse_arguments(positional)
    if values.topology and values.devices:
        raise InputError(f'--devices={values.devices}: the topology says how many; give --topology or --devices')
    if not 0 < values.utilization <= 1:
        raise InputError(f'--utilization={values.utilization:g}: a share of the peak, above 0 and at most 1')
    if values.measured_seconds is not None and not values.measured_seconds > 0:
        raise InputError(f'--measured_seconds={values.measured_seconds:g}: seconds of a step, above 0')
    config = command_line.load_config(config_file, overrides)
    _check_output(values.output)
    from s4mim_jax.planning import topologies
    where = topologies.parse(values.topology) if values.topology else None
    if where:
        topologies.check_compiler()
        if where.name != values.topology:
            print(f'{values.topology} is {where.name}', flush=True)
        topologies.prepare_environment()
    elif values.devices:
        _simulate(values.devices)
    kept = Path('~/.cache/s4mim_jax/plan').expanduser()  # there is no run folder to keep compiled programs beside
    if not where:
        command_line.compilation_cache(str(kept))
    from s4mim_jax.planning.plan import make_plan  # devices are asked for from here on
    from s4mim_jax.pretrained.take_over import take_over
    if os.path.isfile(config.model.pretrained or ''):  # weights that are not here change nothing that is planned
        for line in take_over(config, command_line.fixed_keys(config_file, overrides)):
            print(line, flush=True)
    plan = make_plan(config, where, batch_per_device=values.batch_per_device,
                     num_classes=values.num_classes, images=values.images, utilization=values.utilization,
                     measured=values.measured_seconds, kept=kept, say=lambda text: print(text, flush=True))
    if values.output:
        _write(Path(values.output), plan)
        print(f'written to {values.output}')
    return DOES_NOT_FIT if plan['memory']['fits'] is False else 0


def _check_output(output: str | None) -> None:
    """A plan takes minutes: what cannot be written is refused before."""
    folder = Path(output).absolute().parent if output else None
    if folder and (not folder.is_dir() or not os.access(folder, os.W_OK) or Path(output).is_dir()):
        raise InputError(f'--output={output} cannot be written; name a file in a folder that exists')


def _write(output: Path, plan: dict) -> None:
    temporary = output.with_name(f'.{output.name}-{os.getpid()}')
    try:
        temporary.write_text(json.dumps(plan, indent=2) + '\n')
        temporary.replace(output)
    except OSError as error:
        raise InputError(f'--output={output} cannot be written ({error.strerror})') from None


def _simulate(count: int) -> None:
    """`count` devices on this machine's CPU; what XLA_FLAGS says of their number so far gives way."""
    import jax
    jax.config.update('jax_platforms', 'cpu')
    others = [flag for flag in os.environ.get('XLA_FLAGS', '').split() if 'host_platform_device_count' not in flag]
    os.environ['XLA_FLAGS'] = ' '.join([*others, f'--xla_force_host_platform_device_count={count}'])


if __name__ == '__main__':
    flags.DEFINE_string('config', None, command_line.CONFIG_HELP)
    flags.DEFINE_string('topology', None, 'Cloud TPU slice to compile for, such as v5e:16x16 or v5litepod-256')
    flags.DEFINE_integer('devices', None, 'plan for so many simulated CPU devices', lower_bound=1)
    flags.DEFINE_integer('batch_per_device', None, 'sets config.batch.labeled and .unlabeled to this times the devices',
                         lower_bound=1)
    flags.DEFINE_integer('num_classes', None, 'classes, where no dataset is there to tell', lower_bound=2)
    flags.DEFINE_integer('images', None, 'images of an epoch (unlabelled ones, if the method has them)', lower_bound=1)
    flags.DEFINE_float('utilization', 0.4, 'share of the peak FLOP/s that the model of a step assumes')
    flags.DEFINE_float('measured_seconds', None, 'measured seconds of a step on one device, in place of that model')
    flags.DEFINE_string('output', None, 'JSON file to write')
    command_line.run(main)
