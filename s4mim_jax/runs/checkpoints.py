"""Checkpoints with Orbax: the latest and the best, in one folder, each written whole or not at all.

A checkpoint has three items: `weights` (student, BatchNorm statistics, teacher), `optimizer` (step
and optimiser state) and `loop` (JSON: the best score so far and the sums not logged yet), so that
evaluation restores the first one only.

This is Orbax's v0 API, which its documentation calls legacy. In orbax-checkpoint 0.12.8 (November 2026, the newest for
every Python) v1 is `orbax.checkpoint.experimental.v1`: a part of its functions is deprecated there already
in favour of others, its Checkpointer cannot open a folder for reading only, and its `metadata` tells of one item, where
`_compare` needs each. It does read the items of our checkpoints (`load_checkpointables`); so a move can wait for it
to leave `experimental`; tests/data holds a run folder that must then stay readable.
"""

import asyncio
import sys

import jax
import orbax.checkpoint as ocp
from absl import logging

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import state_shardings
from s4mim_jax.runs import storage
from s4mim_jax.runs.better_weights import preferred
from s4mim_jax.training.state import TrainState, abstract_state, network_parameters


def _handlers() -> dict:
    """What reads each item; without them a manager that has not saved knows no metadata."""
    return {'weights': ocp.StandardCheckpointHandler(), 'optimizer': ocp.StandardCheckpointHandler(),
            'loop': ocp.JsonCheckpointHandler()}


def _not_a_traceback_of_orbax(record) -> bool:
    return not (record.exc_info and 'orbax' in record.pathname)


# Orbax logs each failure in each of its threads with a traceback and raises it as well; saying it once is enough.
logging.get_absl_logger().addFilter(_not_a_traceback_of_orbax)


class _QuietLoops:
    """`sys.unraisablehook` that leaves out TensorStore's reports to event loops that are closed.

    When one array of a save fails, Orbax ends the loop that waits for all of them, and each of the others, when
    it is done, prints a traceback through this hook. The failure itself is raised. Some are done only after the
    manager is closed, so the hook stays. It knows the reports by their first frame: in an error of a program
    that is the program's.
    """

    def __init__(self, following):
        self._next = following

    def __call__(self, report):
        if not (report.exc_type is RuntimeError and str(report.exc_value) == 'Event loop is closed'
                and report.exc_traceback is not None
                and report.exc_traceback.tb_frame.f_code is asyncio.BaseEventLoop.call_soon_threadsafe.__code__):
            self._next(report)

    @classmethod
    def install(cls) -> None:
        if not isinstance(sys.unraisablehook, cls):
            sys.unraisablehook = cls(sys.unraisablehook)


class _KeepLatestAndBest:
    """Orbax preservation policy: all but the newest and the best step may go."""

    def __init__(self):
        self.best_step = None

    def should_preserve(self, checkpoints, *, context):
        del context
        newest = max((c.step for c in checkpoints), default=None)
        return [c.step in (newest, self.best_step) for c in checkpoints]


class Checkpoints:
    """Saves and restores the state of one run.

    Saving goes on in the background, so a disk that fills up shows at the next call, whichever it is:
    the constructor, `save`, `wait` and `close` raise StorageError. A checkpoint that fails never takes
    the place of a finished one, and what it leaves behind is removed when the folder is opened again.
    """

    def __init__(self, workdir):
        self._workdir = workdir
        self._policy = _KeepLatestAndBest()
        self._folder = storage.absolute(workdir) / storage.CHECKPOINTS
        # Folders are made before `save` returns: were that to fail in the background, Orbax's other threads
        # would wait minutes for them, and the program with them.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy, cleanup_tmp_directories=True,
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False))
        with storage.writing(self._folder, workdir):
            self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=_handlers())
        _QuietLoops.install()

    @staticmethod
    def exist(workdir) -> bool:
        """Whether the run folder holds a finished checkpoint; creates nothing."""
        return bool(storage.finished_steps(workdir))

    def latest_step(self) -> int | None:
        """Of the checkpoints on disk: after a failed save Orbax's own list lacks what that save was to replace."""
        return max(storage.finished_steps(self._workdir), default=None)

    def save(self, state: TrainState, loop: dict) -> None:
        """Starts saving `state` at its step; `loop` is JSON with 'best_step' among its keys."""
        self._policy.best_step = loop['best_step']
        step = int(state.step)
        if step in self._manager.all_steps():
            return  # a resumed run passes the same steps again, with the same numbers
        items = _items(state)
        with storage.writing(self._folder, self._workdir):
            self._manager.save(step, args=ocp.args.Composite(
                **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
                loop=ocp.args.JsonSave(loop)))

    def restore(self, config, num_classes: int, mesh) -> tuple[TrainState, dict]:
        """The latest (state, loop) of a folder where `exist` holds.

        Raises:
          InputError: the checkpoint is of another model, class count or optimiser.
        """
        step = self._manager.latest_step()
        target = abstract_state(config, num_classes)
        items = _items(target)
        _compare(self._manager, step, items, self._manager.directory)
        placed = _items(state_shardings(target, mesh))
        restored = self._manager.restore(step, args=ocp.args.Composite(
            **{n: ocp.args.StandardRestore(_with_shardings(items[n], placed[n])) for n in items},
            loop=ocp.args.JsonRestore()))
        self._policy.best_step = restored.loop['best_step']
        return _state(restored), restored.loop

    def wait(self) -> None:
        """Returns when everything that was started is on disk."""
        with storage.writing(self._folder, self._workdir):
            self._manager.wait_until_finished()

    def close(self) -> None:
        with storage.writing(self._folder, self._workdir):
            self._manager.close()


def restore_weights(workdir, config, num_classes: int, checkpoint: str = 'best', weights: str = 'teacher'):
    """Variables for inference from a run folder.

    Args:
      workdir: run folder. checkpoint: 'best', 'latest' or a step.
      weights: 'teacher' (the student when the run has no teacher), 'student', or 'better' (see `final_scores`).

    Returns:
      (variables {'params', 'batch_stats'}, step, 'teacher' or 'student').

    Raises:
      InputError: no such run, checkpoint or weights; a checkpoint of another model.
    """
    if weights not in ('teacher', 'student', 'better'):
        raise InputError(f'--weights={weights}: valid are teacher, student and better')
    if weights == 'better':
        weights = preferred(workdir, checkpoint)
    with _reader(workdir) as manager:
        step = _find_step(manager, checkpoint, workdir)
        stored = manager.item_metadata(step)['weights'].tree
        target = _items(abstract_state(config, num_classes))['weights']
        if not stored.get('ema'):
            weights, target['ema'] = 'student', None
        elif target['ema'] is None:  # config.method may be overridden; the folder decides
            target['ema'] = {k: target[k] for k in ('params', 'batch_stats')}
        _compare(manager, step, {'weights': target}, manager.directory)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        placed = jax.tree.map(lambda _: device, target)
        tree = manager.restore(step, args=ocp.args.Composite(
            weights=ocp.args.StandardRestore(_with_shardings(target, placed)))).weights
    chosen = tree['ema'] if weights == 'teacher' else tree
    return {k: chosen[k] or {} for k in ('params', 'batch_stats')}, step, weights


def find_step(workdir, checkpoint: str = 'best') -> int:
    """The step of a checkpoint that is asked for as best, latest or a number.

    Raises:
      InputError: no run there, no finished checkpoint, or not this one.
    """
    with _reader(workdir) as manager:
        return _find_step(manager, str(checkpoint), workdir)


def _reader(workdir) -> ocp.CheckpointManager:
    folder = storage.absolute(workdir) / storage.CHECKPOINTS
    if not folder.is_dir():
        raise InputError(f'{workdir}: no {storage.CHECKPOINTS}/ folder; --workdir must be a folder that train has '
                         'written')
    options = ocp.CheckpointManagerOptions(read_only=True)
    return ocp.CheckpointManager(folder, options=options, item_handlers=_handlers())


def _find_step(manager, checkpoint, workdir) -> int:
    steps = sorted(manager.all_steps())
    if not steps:
        raise InputError(f'{workdir}: holds no finished checkpoint')
    if checkpoint == 'latest':
        return steps[-1]
    if checkpoint == 'best':
        loop = manager.restore(steps[-1], args=ocp.args.Composite(loop=ocp.args.JsonRestore())).loop
        best = loop['best_step']
        return best if best in steps else steps[-1]
    if str(checkpoint).isdigit() and int(checkpoint) in steps:
        return int(checkpoint)
    raise InputError(f'--checkpoint={checkpoint}: not in {workdir}\n'
                     f'valid: best, latest, {", ".join(map(str, steps))}')


def _items(state: TrainState) -> dict:
    # What serves training only is kept beside the optimiser: evaluation never sees it.
    beside = {n: v for n, v in state.params.items() if n not in network_parameters(state.params)}
    optimizer = {'step': state.step, 'seed': state.seed, 'opt_state': state.opt_state}
    return {'weights': {'params': network_parameters(state.params), 'batch_stats': state.batch_stats, 'ema': state.ema},
            'optimizer': optimizer | ({'beside': beside} if beside else {})}


def _state(items) -> TrainState:
    params = items.weights['params'] | items.optimizer.get('beside', {})
    return TrainState(items.optimizer['step'], items.optimizer['seed'], params, items.weights['batch_stats'],
                      items.optimizer['opt_state'], items.weights['ema'])


def _with_shardings(tree, shardings):
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings)


def _compare(manager, step, items, folder) -> None:
    """Orbax would pad or truncate some mismatches; we refuse all of them by name."""
    metadata = manager.item_metadata(step)
    differences = []
    for name, target in items.items():
        wanted = {_path(p): tuple(x.shape) for p, x in jax.tree_util.tree_leaves_with_path(target)}
        stored = {_path(p): tuple(x.shape or ()) for p, x in
                  jax.tree_util.tree_leaves_with_path(metadata[name].tree) if hasattr(x, 'shape')}
        for key in sorted(wanted.keys() | stored.keys()):
            if wanted.get(key) != stored.get(key):
                differences.append(f'{key}: stored {stored.get(key, "absent")}, config {wanted.get(key, "absent")}')
    if differences:
        raise InputError(f'{folder}/{step} is a checkpoint of another model, class count or optimiser '
                         f'({len(differences)} arrays differ)\n{differences[0]}\n'
                         'use the config of that run, or another --workdir')


def _path(path) -> str:
    return '/'.join(str(getattr(p, 'key', getattr(p, 'idx', getattr(p, 'name', p)))) for p in path)

