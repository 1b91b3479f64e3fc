"""Trains a segmentation model from labelled and unlabelled images.

python -m s4mim_jax.train --config=configs/camvid.py:unimatch,split=1_16 --workdir=runs/unimatch
"""

from absl import flags

from s4mim_jax.config import allocator, command_line, xla_flags
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import processes

WORKDIR = flags.DEFINE_string('workdir', None, 'folder of the run; an interrupted run in it is continued')
flags.DEFINE_string('config', None, command_line.CONFIG_HELP)
processes.define_flags()


def main(positional, config_file, overrides) -> int:
    command_line.refuse_arguments(positional)
    if not WORKDIR.value:
        raise InputError('--workdir is missing; name the folder of the run')
    config = command_line.load_config(config_file, overrides)
    validate(config)
    allocator.keep_memory()
    xla_flags.for_cpu()
    processes.initialize(WORKDIR.value)
    command_line.compilation_cache(WORKDIR.value)
    with processes.together(WORKDIR.value):
        from s4mim_jax.runs.first_weights import adapt
        from s4mim_jax.runs.loop import train  # brings the input pipeline with it
        adapt(config, WORKDIR.value, command_line.fixed_keys(config_file, overrides))
        validate(config)
        return train(config, WORKDIR.value)


if __name__ == '__main__':
    command_line.run(main)
