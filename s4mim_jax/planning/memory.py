"""Will it fit? A lower bound before compiling, the compiler's own figure after."""

import os
from pathlib import Path

import jax

from s4mim_jax.config.errors import InputError
from s4mim_jax.training.passes import images_of

# Where a container reads the limit of its control group: version 2, version 1.
LIMIT_FILES = ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes')


def host_bytes() -> int:
    """Memory of this machine, or of the control group that the process runs in where that is less."""
    limits = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    for name in LIMIT_FILES:
        try:
            limits.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # no such version here; 'max' is no limit
            continue
    return min(limits)


def device_bytes() -> int | None:
    """Memory that one device may use: the accelerator's, or this machine's share a CPU device."""
    device = jax.local_devices()[0]
    if device.platform == 'cpu':
        return host_bytes() // jax.local_device_count()
    statistics = device.memory_stats() or {}
    return statistics.get('bytes_limit')


def check_crop(config, num_classes: int, passes, devices: int) -> None:
    """Refuses crops whose images and logits alone exceed a device's memory.

    Raises:
      InputError: naming data.crop, the bytes needed at least and the bytes there are.
    """
    (height, width), limit = config.data.crop, device_bytes()
    views = sum(images_of(passes.table[name], config) for name in passes.views + passes.masked)
    # Float32 image, logits and their gradient of every pixel that the student sees.
    least = views // config.batch.accumulate * height * width * 4 * (config.data.channels + 2 * num_classes) // devices
    if limit and least > limit:
        raise InputError(f'--config.data.crop=({height}, {width}): images and logits alone need '
                         f'{least / 2**30:.1f} GiB a device, there are {limit / 2**30:.1f}\n'
                         'valid: a smaller crop or batch, or a larger --config.batch.accumulate')


def compiled_bytes(compiled) -> int | None:
    """Arguments, results and temporaries of a compiled step on one device; None if unknown."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return (analysis.argument_size_in_bytes + analysis.output_size_in_bytes
            + analysis.temp_size_in_bytes - analysis.alias_size_in_bytes)


def compiled_flops(compiled) -> float | None:
    """Floating-point operations of one call on one device, as the compiler counts; None if unknown."""
    analysis = compiled.cost_analysis() or {}
    return analysis.get('flops')


def check_compiled(config, used: int | None) -> None:
    """Refuses a step that the compiler says cannot fit.

    Raises:
      InputError: naming the sizes to lower.
    """
    limit = device_bytes()
    if used and limit and used > limit:
        raise InputError(f'--config.data.crop={tuple(config.data.crop)}: the step needs {used / 2**30:.1f} GiB a '
                         f'device, there are {limit / 2**30:.1f}\nvalid: a smaller crop or batch, '
                         '--config.batch.accumulate, --config.model.remat=true or --config.precision=bfloat16')
