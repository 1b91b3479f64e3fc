"""Checkpoints with Orbax: the latest and the best, in one folder, each written whole or not at all.

A checkpoint has these items: `weights` (student, BatchNorm statistics, teacher), `optimizer` (step, optimiser
state, heads of terms), `terms` where a term carries something from step to step, and `loop` (JSON: the best score so
far and the sums not logged yet), so that evaluation restores the first one only.

This is Orbax's v0 API, which its documentation calls legacy. In orbax-checkpoint 0.12.8 (November 2026, the newest for
every Python) v1 is `orbax.checkpoint.experimental.v1`: a part of its functions is deprecated there already
in favour of others, its Checkpointer cannot open a folder for reading only, and its `metadata` tells of one item, where
`compare` needs each. It does read the items of our checkpoints (`load_checkpointables`); so a move can wait for it
to leave `experimental`; tests/data holds a run folder that must then stay readable.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import state_shardings
from s4mim_jax.runs import damage, storage
from s4mim_jax.runs.better_weights import preferred
from s4mim_jax.runs.checkpoint_items import compare, items_of, state_of, with_shardings
from s4mim_jax.runs.orbax_noise import QuietLoops
from s4mim_jax.training.state import TrainState, abstract_state, network_parameters, term_states


def _handlers() -> dict:
    """What reads each item; without them a manager that has not saved knows no metadata."""
    return {'weights': ocp.StandardCheckpointHandler(), 'optimizer': ocp.StandardCheckpointHandler(),
            'terms': ocp.StandardCheckpointHandler(), 'loop': ocp.JsonCheckpointHandler()}


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
        QuietLoops.install()

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
        items = items_of(state)
        with storage.writing(self._folder, self._workdir):
            self._manager.save(step, args=ocp.args.Composite(
                **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
                loop=ocp.args.JsonSave(loop)))

    def read_back(self, state: TrainState) -> None:
        """Reads the latest checkpoint as evaluation would: its metadata whole, of its arrays the smallest.

        So that no run goes on for days whose weights nobody can read. Waits until the checkpoint is on disk; `state`
        tells what is in it.

        Raises:
          StorageError: it cannot be read.
        """
        self.wait()
        step, where = self._manager.latest_step(), f'{self._folder}'
        try:
            with _reader(self._workdir) as manager:
                damage.require_whole(self._workdir, step)
                manager.restore(step, args=ocp.args.Composite(loop=ocp.args.JsonRestore()))
                compare(manager, step, items_of(state), self._folder)
            params = jax.tree_util.tree_leaves_with_path(network_parameters(state.params))
            path, leaf = min(params, key=lambda item: item[1].size)
            keys = [str(getattr(part, 'key', part)) for part in path]
            read = _one_array(storage.absolute(self._workdir) / storage.CHECKPOINTS / str(step) / 'weights',
                              ['params', *keys])
            if tuple(read.shape) != tuple(leaf.shape):
                raise InputError(f'{"/".join(keys)} has the shape {read.shape}')
        except Exception as error:
            raise storage.StorageError(
                f'{where}/{step} was written and cannot be read back: {storage.reason(error)}\n'
                'training ends here, as nobody could use its weights; try another --workdir') from error

    def restore(self, config, num_classes: int, mesh) -> tuple[TrainState, dict]:
        """The latest (state, loop) of a folder where `exist` holds.

        Raises:
          InputError: the checkpoint is of another model, class count or optimiser.

        A term that the checkpoint holds nothing of begins as in a new run.
        """
        step = self._manager.latest_step()
        target = abstract_state(config, num_classes)
        items = items_of(target)
        damage.require_whole(self._workdir, step)
        with damage.reading(self._workdir, step):
            stored = set(self._manager.item_metadata(step).keys())
            missing = bool(target.terms) and 'terms' not in stored
            if missing:
                del items['terms']
            compare(self._manager, step, items, self._manager.directory)
            shardings = state_shardings(target, mesh)
            placed = items_of(shardings)
            restored = self._manager.restore(step, args=ocp.args.Composite(
                **{n: ocp.args.StandardRestore(with_shardings(items[n], placed[n])) for n in items},
                loop=ocp.args.JsonRestore()))
        self._policy.best_step = restored.loop['best_step']
        state = state_of(restored)
        if missing:
            begin = jax.jit(lambda: term_states(config, num_classes), out_shardings=shardings.terms)
            state = state.replace(terms=begin())
        return state, restored.loop

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
        damage.require_whole(workdir, step, ('weights',))
        with damage.reading(workdir, step):
            stored = manager.item_metadata(step)['weights'].tree
            target = items_of(abstract_state(config, num_classes))['weights']
            if not stored.get('ema'):
                weights, target['ema'] = 'student', None
            elif target['ema'] is None:  # config.method may be overridden; the folder decides
                target['ema'] = {k: target[k] for k in ('params', 'batch_stats')}
            compare(manager, step, {'weights': target}, manager.directory)
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            placed = jax.tree.map(lambda _: device, target)
            tree = manager.restore(step, args=ocp.args.Composite(
                weights=ocp.args.StandardRestore(with_shardings(target, placed)))).weights
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
        begun = [path.name for path in (storage.absolute(workdir) / storage.CHECKPOINTS).iterdir()]
        raise InputError(f'{workdir}: holds no finished checkpoint'
                         + (f'; {storage.CHECKPOINTS}/ holds {", ".join(sorted(begun)[:3])}' if begun else ''))
    if checkpoint == 'latest':
        return steps[-1]
    if checkpoint == 'best':
        damage.require_whole(workdir, steps[-1], ('loop',))
        with damage.reading(workdir, steps[-1]):
            best = manager.restore(steps[-1], args=ocp.args.Composite(loop=ocp.args.JsonRestore())).loop['best_step']
        if best is not None and best not in steps:
            raise InputError(f'{workdir}: its best checkpoint, step {best}, is not in {storage.CHECKPOINTS}/\n'
                             f'copy it there, or name one of --checkpoint={", ".join(map(str, steps))}, latest')
        return steps[-1] if best is None else best
    if str(checkpoint).isdigit() and int(checkpoint) in steps:
        return int(checkpoint)
    raise InputError(f'--checkpoint={checkpoint}: not in {workdir}\n'
                     f'valid: best, latest, {", ".join(map(str, steps))}')


def _one_array(item, keys: list[str]):
    """One array of an item, numpy, without the others."""
    def nested(value):
        for key in reversed(keys):
            value = {key: value}
        return value

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        found = reader.restore(item, args=ocp.args.PyTreeRestore(
            item=nested(0), restore_args=nested(ocp.RestoreArgs(restore_type=np.ndarray)), partial_restore=True))
    for key in keys:
        found = found[key]
    return found
