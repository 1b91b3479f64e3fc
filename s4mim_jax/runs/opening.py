"""What a run needs before its first step: everything that can be wrong is found here, before anything is written."""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from s4mim_jax import data, models
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.left_out import as_lines
from s4mim_jax.parallel import check_batch, make_mesh
from s4mim_jax.planning import memory
from s4mim_jax.planning.resolve import resolve
from s4mim_jax.runs import advice, run_folder, storage
from s4mim_jax.runs.start_text import start_text
from s4mim_jax.training import passes


@dataclass(frozen=True)
class Opened:
    """The data and the devices of a run, checked.

    config: whole, with what it left open filled in. begun: whether the run folder holds a checkpoint to go on from.
    tables, evaluated_table: what is known of the samples that are trained on and evaluated.
    """

    config: object
    begun: bool
    passes: passes.Passes
    source: data.Source
    split: data.Split
    evaluated: tuple[data.Sample, ...]
    tables: data.SampleTable
    evaluated_table: data.SampleTable
    mesh: jax.sharding.Mesh


def open_run(config, workdir) -> Opened:
    """Opens the data of a run in `workdir` and checks them, the config and the devices against each other.

    Raises:
      InputError: config, data, devices or workdir cannot be used, or the workdir belongs to another run.
    """
    planned = passes.passes_of(config.method)
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    evaluated = data.evaluation_split(source, config.eval.split)
    models.build(config.model, source.num_classes)
    mesh = make_mesh(config)
    check_batch(config, mesh.size, planned.unlabeled)
    memory.check_crop(config, source.num_classes, planned, mesh.size)
    tables = data.check_samples(source, split.labeled + (split.unlabeled if planned.unlabeled else ()))
    evaluated_table = data.check_samples(source, evaluated)
    if planned.unlabeled and not split.unlabeled:
        raise InputError(f'--config.data.split={config.data.split}: no unlabelled samples, but method '
                         f'{config.method.name} learns from them')
    run_folder.check_writable(workdir)
    begun = bool(storage.finished_steps(workdir))
    config = resolve(config, source, split.labeled, run_folder.precision_of(workdir) if begun else None)
    if begun:
        run_folder.check_same_run(workdir, config, split, source)
    return Opened(config, begun, planned, source, split, evaluated, tables, evaluated_table, mesh)


def describe(folder: Path, opened: Opened, state, completed: int) -> None:
    """Writes config.json and run.json and prints what the run is."""
    config, source, split = opened.config, opened.source, opened.split
    run_folder.write_json(folder / 'config.json', config.to_dict())
    sizes = {(row.height, row.width) for row in opened.evaluated_table.rows.values()}
    description = run_folder.describe_run(config, source, split, opened.mesh, sizes)
    run_folder.write_json(folder / 'run.json', description)
    parameters = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(state.params))
    notes = (*source.notes, *as_lines(source.left_out), *data.label_notes(source, split.labeled, opened.tables))
    print(start_text(config, source, split, notes, opened.mesh, description['protocol'], parameters), flush=True)
    for line in advice.warnings(config):
        print(f'warning: {line}', flush=True)
    if completed:
        print(f'going on from step {completed}', flush=True)
