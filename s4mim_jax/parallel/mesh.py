"""Devices as a mesh with axes `data` and `fsdp`, and where arrays live on it."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from s4mim_jax.config.errors import InputError

AXES = ('data', 'fsdp')
BATCH = PartitionSpec(AXES)  # the leading axis of a batch is spread over every device


def make_mesh(config, devices=None) -> Mesh:
    """The mesh that `config.mesh` asks for over `devices` (default: all of them).

    Raises:
      InputError: the axes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    fsdp = config.mesh.fsdp
    data = config.mesh.data if config.mesh.data > 0 else len(devices) // max(fsdp, 1)
    if fsdp < 1 or data < 1 or data * fsdp != len(devices):
        raise InputError(f'config.mesh: data={config.mesh.data}, fsdp={fsdp} does not cover the '
                         f'{len(devices)} devices; data * fsdp must be {len(devices)} (data=-1: the rest)')
    # Auto axes: explicit ones (JAX's default) ask for a sharding at every reshape.
    return Mesh(np.asarray(devices).reshape(data, fsdp), AXES, axis_types=(AxisType.Auto,) * 2)


def check_batch(config, shards: int, unlabeled: bool = True) -> None:
    """Each micro-batch must fill every device evenly; `unlabeled`: whether the method has such a stream.

    Raises:
      InputError: naming the batch key, the devices and the nearest sizes that work.
    """
    for key in ('labeled', 'unlabeled') if unlabeled else ('labeled',):
        size, unit = config.batch[key], shards * config.batch.accumulate
        if size < 1 or size % unit:
            raise InputError(f'config.batch.{key}={size} is not divisible by {shards} device(s) x '
                             f'{config.batch.accumulate} micro-batch(es)\n'
                             f'valid: a positive multiple of {unit}, for example {max(1, round(size / unit)) * unit}')


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, BATCH)


def state_shardings(state, mesh: Mesh):
    """Sharding of every leaf of a train state: large arrays are cut along `fsdp`, others copied.

    An array is cut along its largest axis that `fsdp` divides, if it has at least 2**14 entries;
    smaller ones cost more in communication than they save.
    """
    size = mesh.shape['fsdp']

    def place(leaf):
        if size == 1 or np.prod(leaf.shape, dtype=np.int64) < 2**14:
            return NamedSharding(mesh, PartitionSpec())
        axes = [axis for axis in range(len(leaf.shape)) if leaf.shape[axis] % size == 0]
        if not axes:
            return NamedSharding(mesh, PartitionSpec())
        axis = max(axes, key=lambda a: leaf.shape[a])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'fsdp'))

    return jax.tree.map(place, state)


def put_batch(batch, mesh: Mesh | None):
    """A host batch (this process's rows) as global arrays spread over the mesh."""
    if mesh is None:
        return jax.tree.map(jax.device_put, batch)
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)
