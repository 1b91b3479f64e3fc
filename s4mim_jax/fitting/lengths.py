"""How many updates fit the time, and how often a run of so many is scored, saved and logged."""

import math
from typing import NamedTuple

from s4mim_jax.fitting import rules
from s4mim_jax.fitting.fingerprint import Fingerprint
from s4mim_jax.fitting.pacing import EVALUATIONS, FEWEST
from s4mim_jax.fitting.proposal import Proposal
from s4mim_jax.fitting.timing import Timing

DRAWN = 200  # unlabelled images that are predicted at most; `predict --pseudo_labels` does the rest
FORWARD = 1 / 3  # of an update's time: a backward pass costs about twice a forward one
SLIDING = 2.25  # windows that overlap by a third see a pixel so often
SCORED_SHARE = 0.15  # of the time, that the scores on val during both trainings may take together


class Machine(NamedTuple):
    """Seconds as measured, or estimated before: of a labelled-only update, of the start of a training until its first
    update, and of an evaluation of val. evaluations: of a training."""

    step: float
    start: float
    evaluation: float
    evaluations: int = EVALUATIONS

    @property
    def scoring(self) -> float:
        """Seconds of all evaluations of a training."""
        return self.evaluations * self.evaluation

    def now(self, step: float, evaluation: float) -> 'Machine':
        """The machine where an update takes `step` now: what slows it slows a start too, most of which is compiling."""
        return self._replace(step=step, start=self.start * step / self.step, evaluation=evaluation)


class Images(NamedTuple):
    """How many are scored and predicted after the trainings."""

    val: int = 0
    test: int = 0
    unlabelled: int = 0


class Plan(NamedTuple):
    """labelled_only: updates of it. rest: of the method after it, as far as they fit; method: 'supervised' where they
    are too few to pay, and then all of the time is labelled_only's."""

    method: str
    labelled_only: int
    rest: int


def shares(proposed: str, machine: Machine, seconds: float, images: Images, done: int = 0) -> Plan:
    """Divides the time between the labelled-only training and the method.

    Args:
      proposed: the method. machine: how fast it is. seconds: until everything shall have ended. images: to score then.
      done: updates that the labelled-only training has made already.
    """
    rest, name = 0, proposed.partition(',')[0]
    if name != 'supervised':
        usable = method_seconds(machine, seconds, images)
        steps = max(rules.calibration_steps(usable + done * machine.step, machine.step), done)
        rest = rules.method_steps(usable - (steps - done) * machine.step, machine.step, name)
        if rest >= rules.FEWEST_METHOD_STEPS:
            return Plan(proposed, steps, rest)
    usable = alone_seconds(machine, seconds, images)
    return Plan('supervised', max(FEWEST, min(done + int(usable / machine.step), rules.METHOD_STEPS)), rest)


def method_seconds(machine: Machine, seconds: float, images: Images) -> float:
    """For the updates of both trainings: without three starts (a method compiles for longer), scores, and the end."""
    return max(seconds - tail(machine, images) - 3 * machine.start - 2 * machine.scoring, 0.3 * seconds)


def alone_seconds(machine: Machine, seconds: float, images: Images) -> float:
    """For the updates of a labelled-only training that is the only one."""
    return max(seconds - tail(machine, images) - machine.start - machine.scoring, 0.3 * seconds)


def tail(machine: Machine, images: Images) -> float:
    """Seconds after the trainings: two networks scored on val and test, both weights on val, pseudo-labels, page."""
    scored = 3 * images.val + 2 * images.test + min(images.unlabelled, DRAWN)
    return machine.start + scored * machine.evaluation / max(images.val, 1)


def evaluation_estimate(config, found: Fingerprint, step: float) -> float:
    """Seconds of an evaluation of val before one was measured: a forward pass of as many pixels."""
    area = math.prod(config.data.resize or found.size) / math.prod(config.data.crop)
    area *= SLIDING if config.eval.mode == 'sliding' else 1.0
    return found.val * area * FORWARD * step / config.batch.labeled


def evaluations(seconds: float, evaluation: float) -> int:
    """How often a training is scored: four times, or less where val is large; its last step always.

    Args:
      seconds: for everything. evaluation: seconds of one.
    """
    fit = SCORED_SHARE * seconds / (2 * evaluation) if evaluation else EVALUATIONS
    return max(1, int(min(EVALUATIONS, fit)))


def budget(proposal: Proposal, timing: Timing, seconds: float) -> int:
    """Sets method, steps and how often is evaluated; returns the updates of the labelled-only training."""
    machine, fixed = machine_of(proposal, timing, seconds), dict(proposal.user).get('total_steps')
    if fixed:  # of either training
        rhythm(proposal, int(fixed), machine.evaluations)
        return int(fixed)
    plan = shares(proposal.method, machine, seconds, images_of(proposal.found))
    if plan.method != proposal.method:
        proposal.method = 'supervised'
        proposal.set('METHOD', 'supervised', f'only {plan.rest} updates of a method that learns from unlabelled images '
                     f'fit the time, and below {rules.FEWEST_METHOD_STEPS} they do not pay')
    total = plan.labelled_only if proposal.method == 'supervised' else plan.rest
    proposal.set('total_steps', total, _why(timing, seconds))
    rhythm(proposal, total, machine.evaluations)
    return plan.labelled_only


def single(proposal: Proposal, timing: Timing, seconds: float) -> None:
    """Sets the updates of one training of the proposed method that takes all of the time, its evaluations included."""
    machine = machine_of(proposal, timing, seconds)
    usable = max(seconds - 3 * machine.start - machine.scoring, 0.5 * seconds)
    steps = max(FEWEST, rules.method_steps(usable, timing.step, proposal.method))
    proposal.set('total_steps', steps, _why(timing, seconds))
    rhythm(proposal, steps, machine.evaluations)


def machine_of(proposal: Proposal, timing: Timing, seconds: float) -> Machine:
    """As it was measured; `seconds` for everything say how often a training is scored, unless its length is set."""
    evaluation = evaluation_estimate(proposal.config('supervised'), proposal.found, timing.step)
    seconds = math.inf if 'total_steps' in dict(proposal.user) else seconds
    return Machine(timing.step, timing.start, evaluation, evaluations(seconds, evaluation))


def images_of(found: Fingerprint) -> Images:
    return Images(found.val, found.test, found.unlabelled)


def _why(timing: Timing, seconds: float) -> str:
    minutes = max(seconds, 0) / 60
    return f'{timing.step:.2f} s an update of labelled-only training, {minutes:.0f} minutes; follows the clock'


def rhythm(proposal: Proposal, steps: int, evaluations: int) -> None:
    """How often a run of so many updates is scored, saved and logged."""
    score = ('one score on val, at the end: more would take too long' if evaluations == 1 else
             f'{evaluations} scores on val choose the checkpoint')
    why = {'eval.every': score, 'checkpoint.every': 'likewise', 'log.every': 'forty lines'}
    for key, value in every(steps, evaluations).items():
        proposal.set(key, value, why[key])
    proposal.set('optimizer.warmup_steps', steps // 20, 'a twentieth of the run, about that of configs/shapes_start.py')
    proposal.set('log.images', 0, 'a program less to compile; the page shows predictions')


def every(steps: int, evaluations: int) -> dict[str, int]:
    """eval.every, checkpoint.every and log.every; parts are rounded up: the last score is the one at the end."""
    part = -(-steps // evaluations)
    return {'eval.every': part, 'checkpoint.every': -(-steps // EVALUATIONS), 'log.every': max(steps // 40, 1)}
