"""The training loop. The order of operations inside it is the contract of a resume, see `_run`."""

import contextlib
import signal
import sys
import time

import jax
import numpy as np

from s4mim_jax import evaluation
from s4mim_jax.config import allocator, terminal
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.evaluation_stream import evaluation_batches
from s4mim_jax.data.streams import training_batches
from s4mim_jax.parallel import hlo, processes, replicated
from s4mim_jax.planning import memory
from s4mim_jax.runs import advice, better_weights, final_scores, lock, panels, run_folder, writers
from s4mim_jax.runs.checkpoints import Checkpoints
from s4mim_jax.runs.feed import device_batches
from s4mim_jax.runs.monitoring import Monitor, Sums, first_non_finite
from s4mim_jax.runs.opening import describe, open_run
from s4mim_jax.runs.signals import StopRequest, agreed_signal
from s4mim_jax.runs.throughput import Progress
from s4mim_jax.runs.waiting import counting
from s4mim_jax.training import passes, watch
from s4mim_jax.training.initial import create_state
from s4mim_jax.training.optimizer import base_learning_rate, schedule
from s4mim_jax.training.step import Length, make_train_step

QUEUED = 8  # steps that an accelerator may be given in advance; a CPU one, which no transfer would keep waiting
SHOWN_FIRST, SHOWN_EVERY = 2.0, 30.0  # seconds: steps that are slow, and between lines of progress
NON_FINITE = 3  # exit status of a run whose loss is no number any more


def train(config, workdir, pace=None) -> int:
    """Trains until `total_steps`, going on from the latest checkpoint in `workdir`.

    Args:
      config: whole config. workdir: the run folder.
      pace: of one process, called at logs and at least twice a minute with the updates so far and the seconds of an
        update in the latest stretch and of an evaluation (None = none yet). It returns None, or keys with values, such
        as another total_steps, that hold from then on; the program is compiled for any length.

    Returns:
      0 when finished, 128 + signal after SIGINT or SIGTERM (the state is saved and a second call
      continues), 3 when a loss was not finite (the last good checkpoint stays).

    Raises:
      InputError: config, data, weights, checkpoint or workdir cannot be used; nothing was changed.
    """
    # With several processes JAX's runtime listens for SIGTERM itself.
    numbers = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else (signal.SIGINT,)
    with (StopRequest(numbers, say=jax.process_index() == 0) as stop,
          contextlib.ExitStack() as held):
        return _Run(config, workdir, stop, held, pace).run()


class _Run:
    """What a run holds while it lasts: data, state, compiled step and where things are written."""

    def __init__(self, config, workdir, stop, held, pace):
        self.began, self.first_step = time.perf_counter(), None
        self.stop, self.pace = stop, pace
        self.evaluations, self.length = [], ()  # seconds each; the further argument of a step of open length
        if jax.process_index() == 0:
            lock.refuse_if_held(workdir)
        self.writers = writers.names(config.log.writers)
        self.opened = opened = open_run(config, workdir)
        self.config, self.passes, self.mesh, self.source = opened.config, opened.passes, opened.mesh, opened.source
        config, classes, begun = opened.config, opened.source.num_classes, opened.begun
        if not begun:  # weights that do not fit end here, before the folder is made
            self.state = create_state(config, classes, self.mesh)
            self.loop = {'best_step': None, 'best_miou': None, 'sums': {}}
        self.folder = run_folder.prepare(workdir)
        lock.hold(workdir, held)
        if Checkpoints.exist(workdir) != begun:
            raise InputError(f'{workdir}: another training has written here since this one began; start it again')
        self.checkpoints = Checkpoints(self.folder)
        if begun:
            self.state, self.loop = self.checkpoints.restore(config, classes, self.mesh)
        self.completed = int(self.state.step)
        self.sums = Sums(self.loop['sums'])
        self.read_back = False  # whether the first checkpoint of this start was found readable
        self.waiting = []  # metrics of steps whose values were not looked at yet
        self.main = jax.process_index() == 0
        self.warned = False  # of pseudo-labels that teach little, once a start

    def run(self) -> int:
        config = self.config
        if self.completed >= config.total_steps:  # before anything is written
            self._say(f'{self.folder} has completed {self.completed} of {config.total_steps} steps: nothing to do')
            self.checkpoints.close()
            # Who trains run after run in one process shall hear of a signal that came while this one was opened.
            return 128 + self.stop.signal if self.stop.signal else 0
        if self.main:
            describe(self.folder, self.opened, self.state, self.completed)
        self.monitor = Monitor(self.folder, self.completed, self.writers, config.to_dict()) if self.main else None
        wanted = config.log.images or watch.any_by_class(self.passes, config.method)  # pictures, or counts only
        self.snapshot = panels.make_snapshot(config, self.source.num_classes, self.mesh) if wanted else None
        self.infer = evaluation.make_evaluator(config, self.source.classes, self.mesh)
        self.progress = Progress(self.completed, config.total_steps, config.batch.labeled +
                                 (config.batch.unlabeled if self.passes.unlabeled else 0))
        try:
            return self._run()
        except _NonFinite as error:
            if self.main:
                terminal.say(f'error: {error}', sys.stderr)
            return NON_FINITE
        finally:
            terminal.end()
            self.checkpoints.close()
            if self.monitor:
                self.monitor.close()

    def _run(self) -> int:
        """One turn of the loop, in this order:

        1. fetch a batch and run the step. The metrics stay on the device.
        2. log, on logging steps: this is where the host waits for the device. A non-finite loss ends
           the run here, before the state that it spoilt could be evaluated or saved.
        3. evaluate. Needs the new state; its score decides whether the checkpoint is the best.
        4. save. Last, so that a checkpoint never claims a step whose lines are not in the log: a
           resume drops lines after its step and makes exactly those again.
        5. obey a signal: save, if not just done, and leave.
        """
        config = self.config
        self.ahead = 1 if jax.default_backend() == 'cpu' else QUEUED
        self.started, self.shown = self.completed, time.monotonic()
        batches = device_batches(training_batches(
            self.source, self.opened.split, config, tables=self.opened.tables, start_step=self.completed,
            process_index=jax.process_index(), process_count=jax.process_count(),
            with_unlabeled=self.passes.unlabeled), self.mesh)
        step = None
        for batch in batches:
            if step is None:
                step = self._compile(batch)
                self.progress.begin()
            with jax.transfer_guard('disallow'):
                self.state, metrics = step(self.state, batch, *self.length)
            self.completed += 1
            self.progress.step = self.completed
            if self.first_step is None:
                jax.block_until_ready(metrics)
                self.first_step = time.perf_counter() - self.began
                self.shown = time.monotonic()
                self._say(f'first step after {self.first_step:.1f} s')
            self.waiting.append(metrics)
            # Steps that queue up would run on after Ctrl-C, and nothing would be seen of them before the next log.
            if len(self.waiting) > self.ahead:
                jax.block_until_ready(self.waiting[-1 - self.ahead])
            last = self.completed == config.total_steps
            log = self.completed % config.log.every == 0 or last
            looked = self._log() if log else self._show()
            changed = looked and not last and self.pace is not None and self._keep_pace()
            evaluate = last or (config.eval.every and self.completed % config.eval.every == 0)
            save = last or (config.checkpoint.every and self.completed % config.checkpoint.every == 0)
            stop = agreed_signal(self.stop, self.completed, log or evaluate or save)
            if evaluate or save or stop or changed:
                terminal.end()  # the last line of progress before a score stays
                self._collect_metrics()
                self.progress.pause()
                if evaluate:
                    save |= self._evaluate(batch)
                if save or stop or changed:  # an interrupted run goes on from here with its new length
                    self._save()
                if stop and not last:
                    self.checkpoints.wait()
                    self._say(f'stopped by signal {stop} after step {self.completed}; saved. '
                              'The same command continues.')
                    return 128 + stop  # the shell's convention
                self.progress.begin()
            if last:
                break
        self.checkpoints.wait()
        self._compare_weights()
        if self.main:  # depends on the clock and the machine, so it is no part of metrics.jsonl
            run_folder.write_json(self.folder / 'cost.json', self.progress.cost() | self.cost | {
                'first_step_seconds': self.first_step, 'evaluation_seconds': min(self.evaluations)})
        self._say(f'done: {self.completed} steps, {config.eval.split} mIoU {self.last_miou:.4f}, best '
                  f'{self.loop["best_miou"]:.4f} at step {self.loop["best_step"]}; {self.folder}')
        return 0

    def _compile(self, batch):
        started = time.perf_counter()
        with counting('compiling the training step') if self.main else contextlib.nullcontext():
            step = make_train_step(self.config, self.source.num_classes, self.mesh, donate=True,
                                   open_length=self.pace is not None)
            if self.pace is not None:
                self.length = (self._length(),)
            step = step.lower(self.state, batch, *self.length).compile()
            allocator.give_back()
        used, seconds = memory.compiled_bytes(step), time.perf_counter() - started
        self.cost = {'compile_seconds': seconds, 'device_bytes': used, 'flops': memory.compiled_flops(step),
                     'passes': passes.pass_costs(self.config)}
        self._say(f'compiled in {seconds:.1f} s' + (f'; {used / 2**30:.2f} GiB a device' if used else ''))
        if self.mesh.size > 1:
            found = hlo.collectives(step)
            self.cost['collectives'] = [entry._asdict() for entry in found]
            self._say('collectives of a step: ' + ', '.join(
                f'{entry.count} {entry.kind} ({entry.bytes / 2**20:.2f} MiB a device)' for entry in found))
        memory.check_compiled(self.config, used)
        processes.meet('the step is compiled')
        return step

    def _collect_metrics(self) -> None:
        """Waits for the steps since the last call, in order, and adds up their metrics."""
        waiting, self.waiting = jax.device_get(self.waiting), []
        first = self.completed - len(waiting) + 1
        for number, metrics in enumerate(waiting, first):
            bad = first_non_finite(metrics)
            if bad:
                self._say_non_finite(number, bad)
            self.sums.add(metrics)

    def _say_non_finite(self, number, name):
        self.checkpoints.wait()
        kept = self.checkpoints.latest_step()
        raise _NonFinite(f'{name} is not finite at step {number}; stopped\n'
                         f'{self.folder}/checkpoints keeps {"step " + str(kept) if kept else "no checkpoint yet"}; '
                         'try a lower --config.optimizer.learning_rate or --config.optimizer.clip_norm=1.0')

    def _log(self) -> bool:
        """Writes the means since the last log; True, because the pace can be looked at."""
        self._collect_metrics()
        self.shown = time.monotonic()
        self.progress.pause()
        means = self.sums.take()
        factor = float(schedule(self.config)(self.completed - 1))
        means['learning_rate'] = base_learning_rate(self.config) * factor
        if self.monitor:
            self.monitor.scalars(self.completed, 'train', means)
            self.monitor.rates(self.completed, self.progress.rates())
            terminal.show(self.progress.line(means, terminal.width(sys.stdout)))
            warning = advice.few_kept(self.config, self.completed, means.get('pseudo_label/kept'))
            if warning and not self.warned:
                terminal.say(warning)
            self.warned |= bool(warning)
        self.progress.begin()
        return True

    def _keep_pace(self) -> bool:
        """Asks the pace; True where it has changed the length."""
        usual = self.evaluations[-1] if len(self.evaluations) > 1 else None  # the first one compiles
        settings = self.pace(self.completed, self.progress.stretch, usual)
        if not settings:
            return False
        with self.config.unlocked():
            self.config.update_from_flattened_dict(settings)
        self.length, self.progress.total = (self._length(),), self.config.total_steps
        run_folder.write_json(self.folder / 'config.json', self.config.to_dict())
        return True

    def _length(self) -> Length:
        return jax.device_put(Length(np.int32(self.config.total_steps), np.int32(self.config.optimizer.warmup_steps)),
                              replicated(self.mesh))

    def _show(self) -> bool:
        """Between two logs a line by the clock: when the third step is done, and every SHOWN_EVERY seconds."""
        now = time.monotonic()
        third = self.completed - self.started == self.ahead + 3 and now - self.shown > SHOWN_FIRST
        if not (third or now - self.shown > SHOWN_EVERY) or len(self.waiting) <= self.ahead:
            return False
        self.shown = now
        if self.main:
            self.progress.pause()
            sums = Sums({})
            sums.add(jax.device_get(self.waiting[-1 - self.ahead]))
            terminal.show(self.progress.line(sums.take(), terminal.width(sys.stdout)))
            self.progress.begin()
        return True

    def _compare_weights(self) -> None:
        """Scores student and teacher of the best checkpoint; the better one is what `predict` takes."""
        if self.state.ema is None:
            return
        found = final_scores.compare(self.folder, self.config, self.source.num_classes, self.loop,
                                     lambda variables: self.infer(variables, self._evaluation_batches()))
        if self.main:
            run_folder.write_json(self.folder / better_weights.FILE, found)
        self._say(f'best checkpoint on {found["split"]}: teacher {found["miou"]["teacher"]:.4f}, student '
                  f'{found["miou"]["student"]:.4f}; predict takes the {found["better"]}')

    def _evaluate(self, batch) -> bool:
        """Scores the default weights on eval.split; True when they are the best so far."""
        variables = self.state.variables('teacher')
        weights = 'teacher' if self.state.ema is not None else 'student'
        batches = self._evaluation_batches()
        started = time.perf_counter()
        result = self.infer(variables, batches)
        seconds = time.perf_counter() - started
        self.evaluations.append(seconds)
        self.last_miou = result['miou']
        best = self.loop['best_miou'] is None or result['miou'] > self.loop['best_miou']
        if best:
            self.loop |= {'best_miou': result['miou'], 'best_step': self.completed}
        if self.monitor:
            values = {'miou': result['miou'], 'pixel_accuracy': result['pixel_accuracy']}
            values |= {f'iou/{name}': value for name, value in result['iou'].items()}
            self.monitor.scalars(self.completed, self.config.eval.split, values, weights=weights)
            terminal.say(f'step {self.completed}  {self.config.eval.split} mIoU {result["miou"]:.4f} ({weights}'
                         f'{", best so far" if best else ""}), {result["images"]} images in '
                         f'{seconds:.1f} s')
        if self.snapshot is not None:
            seen, counts = jax.device_get(self.snapshot(self.state, batch, self.completed))
            if self.monitor:
                for name, picture in panels.draw(
                        seen, self.source.palette, self.passes.table.values()).items():
                    self.monitor.panel(self.completed, name, picture)
                if counts:
                    self.monitor.scalars(self.completed, 'watch', watch.named(counts, self.source.classes))
        return best

    def _evaluation_batches(self):
        return evaluation_batches(self.source, self.opened.evaluated, self.config, table=self.opened.evaluated_table,
                                  process_index=jax.process_index(), process_count=jax.process_count())

    def _save(self) -> None:
        self.loop['sums'] = {name: list(pair) for name, pair in self.sums.values.items()}
        self.checkpoints.save(self.state, self.loop)
        if not self.read_back:
            self.checkpoints.read_back(self.state)
            self.read_back = True

    def _say(self, text: str) -> None:
        if self.main:
            terminal.say(text)


class _NonFinite(Exception):
    """A loss or gradient is no number any more."""
