"""From a folder to a trained network, its scores, predictions and a page: what `fit` does, in its order."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from s4mim_jax.config.command_line import compilation_cache, load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.fitting import fingerprint, lengths, outcome, rules
from s4mim_jax.fitting.confident import confident
from s4mim_jax.fitting.lengths import Images, Machine
from s4mim_jax.fitting.outcome import LABELLED_ONLY
from s4mim_jax.fitting.pacing import Pace, shortest
from s4mim_jax.fitting.proposal import FILE, propose
from s4mim_jax.fitting.timing import measure

STATE = 'fit.json'


class Stopped(Exception):
    """A training ended early. status: 128 + signal, or 3 for a loss that is no number."""

    def __init__(self, status: int, where: Path):
        super().__init__(f'stopped; the same command continues ({where})')
        self.status = status


def run(folder, output: Path, minutes: float, overrides: Sequence[tuple[str, str]] = (), plan_only: bool = False,
        say: Callable[[str], None] = print) -> dict:
    """Proposes, trains, scores, predicts; goes on where an earlier call with the same output stopped.

    Args:
      folder: the dataset. output: folder for everything. minutes: for all of it, earlier calls included.
      overrides: (dotted config key, text) pairs that no rule changes. plan_only: stop before the first training.
      say: receives lines of text.

    Returns:
      the content of OUTPUT/fit.json: method, steps, runs, scores, and best, the run with the higher val score.

    Raises:
      InputError: data, an override or the output cannot be used. Stopped: a training was interrupted.
    """
    if not minutes > 0:
        raise InputError(f'--minutes={minutes:g}: must be above 0')
    began = time.monotonic()
    from s4mim_jax.runs.run_folder import prepare
    folder, output = Path(folder).expanduser(), Path(output).expanduser()
    inside = output.resolve()
    if inside == folder.resolve() or folder.resolve() in inside.parents:
        raise InputError(f'--output={output}: lies in the dataset, {folder}\nvalid: a folder outside of it')
    output = Path(prepare(output, '--output'))
    compilation_cache(str(output / LABELLED_ONLY))
    state = _read(output)
    spent = 0.0
    if state is None:
        state = first_plan(folder, output, minutes, overrides, say)
    else:
        _check_same(state, folder, output, overrides)
        spent = state['minutes']
        say(f'going on in {output} as planned there; {spent:.1f} of {minutes:g} minutes are spent')
    if plan_only:
        return state
    end = began + 60 * (minutes - spent)
    try:
        train(output, state, 'supervised', end, say)
        if state['proposed'] != 'supervised' and not state['decided']:
            decide_method(output, state, end, say)
        if state['method'] != 'supervised':
            train(output, state, state['method'], end, say)
        outcome.score(output, state, say)
        outcome.predict(output, state, say)
    finally:  # an interrupted call has spent its time too
        state['minutes'] = round(spent + (time.monotonic() - began) / 60, 2)
        _write(output, state)
    return state


def first_plan(folder: Path, output: Path, minutes: float, overrides, say) -> dict:
    """The proposal, measured: prints it with reasons, writes config.py and fit.json."""
    began = time.monotonic()
    proposal = propose(folder, overrides)
    for line in fingerprint.describe(proposal.found):
        say(line)
    timing = measure(proposal.config('supervised'))
    say(f'measured: {timing.step:.2f} s an update of labelled-only training, {timing.start:.0f} s before the first')
    proposed = proposal.method
    seconds = 60 * minutes - (time.monotonic() - began)
    machine = lengths.machine_of(proposal, timing, seconds)
    steps = lengths.budget(proposal, timing, seconds)
    say('\nplan')
    for line in proposal.lines():
        say(f'  {line}')
    path = proposal.write(output)
    say(f'written to {path}: edit it, or pass it to train --config={path}\n')
    state = {'folder': str(folder.resolve()), 'minutes': 0.0, 'proposed': proposed, 'method': proposal.method,
             'labelled_only_steps': steps, 'method_steps': steps if 'total_steps' in dict(proposal.user) else 0,
             'decided': False, 'warmup_steps': {}, 'every': {}, 'planned_anew': [],
             'own': [list(pair) for pair in proposal.user],
             'machine': machine._asdict(), 'step_seconds': timing.step,
             'images': lengths.images_of(proposal.found)._asdict(),
             'reasons': [list(map(str, s)) for s in proposal.settings] + [[k, t, 'yours'] for k, t in proposal.user],
             'fingerprint': fingerprint.describe(proposal.found)}
    _write(output, state)
    return state


def decide_method(output: Path, state: dict, end: float, say) -> None:
    """Whether a method fits the time that is left, its updates, and tau, from the labelled-only network."""
    fixed, method = dict(state['own']), state['proposed'].partition(',')[0]
    machine, images = Machine(**state['machine']), Images(**state['images'])
    room = lambda: (end - time.monotonic() - lengths.tail(machine, images) - 2 * machine.start
                    - machine.scoring)
    steps = rules.method_steps(max(room(), 0), machine.step, method)
    if 'total_steps' not in fixed and steps < rules.FEWEST_METHOD_STEPS:
        left = max(end - time.monotonic(), 0)
        if state['method'] != 'supervised':
            say(f'{left / 60:.1f} minutes are left, for {steps} updates of {method}: too few to pay')
        state['method'], state['decided'], done = 'supervised', True, state['labelled_only_steps']
        more = int(lengths.alone_seconds(machine, left, images) / machine.step)
        more = min(more, rules.METHOD_STEPS - done)
        if more > rules.WORTH_MORE * done:
            say(f'labelled-only training goes on with {more} updates')
            state['labelled_only_steps'] = done + more
            _write(output, state)
            train(output, state, 'supervised', end, say)
    else:
        state['method'] = method
        if 'method.tau' not in fixed:
            kept = confident(output / LABELLED_ONLY)
            tau = rules.threshold(kept)
            share = ', '.join(f'{t:g}: {100 * k:.0f} %' for t, k in kept.items())
            say(f'pixels of a class that reach a threshold, on unlabelled images: {share}; tau = {tau:g}')
            state['method'] = f'{method},tau={tau:g}'
        if 'total_steps' not in fixed:
            least = min(lengths.FEWEST, rules.METHOD_STEPS)
            state['method_steps'] = max(rules.method_steps(room(), machine.step, method), least)
    state['decided'] = True
    _write(output, state)


def train(output: Path, state: dict, method: str, end: float, say) -> None:
    """Trains the config file with a method, and plans it anew where the clock asks; a complete run is left alone."""
    from s4mim_jax.runs.loop import train as run_training
    name = LABELLED_ONLY if method == 'supervised' else method.partition(',')[0]
    config = _config(output, state, name, method)
    pace = None if 'total_steps' in dict(state['own']) else _pace(state, name, end)

    def keep_pace(*seen):
        nonlocal pace
        total = pace(*seen)
        if total is None:
            return None
        pace = plan_anew(output, state, name, pace, total, end, say)
        return _rhythm(state, name, pace.total)

    say(f'\n{name}: {config.total_steps} updates')
    status = run_training(config, output / name, keep_pace if pace else None)
    if status:
        raise Stopped(status, output)
    if name == LABELLED_ONLY:
        cost = json.loads((output / name / 'cost.json').read_text())
        step = pace.step if pace and pace.seen else cost['step_seconds']  # at its end, else on average
        state['machine'] = Machine(**state['machine']).now(step, cost['evaluation_seconds'])._asdict()


def _rhythm(state: dict, name: str, steps: int) -> dict[str, int]:
    """Keys of a training of so many updates, those left out that the user has set.

    Planned anew it is never scored more often than before: a score may cost as much as a hundred updates.
    """
    found = lengths.every(steps, Machine(**state['machine']).evaluations) | {'total_steps': steps}
    kept = state['every'].setdefault(name, {})
    for key in ('eval.every', 'checkpoint.every'):
        found[key] = kept[key] = max(kept.get(key, 0), found[key])
    return {key: value for key, value in found.items() if key not in dict(state['own'])}


def _config(output: Path, state: dict, name: str, method: str):
    """The config file with a method and the updates that are planned for it."""
    from s4mim_jax.config.validation import validate
    steps = state[_key(name)]
    # The warm-up stays that of the first plan: a longer run does not go back into it.
    warmup = state['warmup_steps'].setdefault(name, steps // 20)
    overrides = [(key, str(value)) for key, value in _rhythm(state, name, steps).items()]
    if 'optimizer.warmup_steps' not in dict(state['own']):
        overrides.append(('optimizer.warmup_steps', str(warmup)))
    if name != LABELLED_ONLY:  # begins where the labelled-only training ended
        overrides += [('model.pretrained', str(output / LABELLED_ONLY))]
    config = load_config(f'{output / FILE}:{method}', overrides)
    validate(config)
    return config


def _pace(state: dict, name: str, end: float, begun: bool = False) -> Pace:
    """The labelled-only training before a method has its share of what is left; a last training all of it."""
    machine, images, total = Machine(**state['machine']), Images(**state['images']), state[_key(name)]
    if name == LABELLED_ONLY and state['method'] != 'supervised':
        now = time.monotonic()
        share = rules.CALIBRATION_SHARE * lengths.method_seconds(machine, end - now, images)
        deadline = now + (0.0 if begun else machine.start) + machine.scoring + share
        return Pace(deadline, total, rules.CALIBRATION_STEPS, step=machine.step, evaluation=machine.evaluation,
                    evaluations=machine.evaluations, late=rules.CALIBRATION_LATE)
    step = machine.step * (1.0 if name == LABELLED_ONLY else rules.relative_step(name))
    return Pace(end, total, rules.METHOD_STEPS, step=step, evaluation=machine.evaluation,
                evaluations=machine.evaluations, after=lengths.tail(machine, images))


def plan_anew(output: Path, state: dict, name: str, pace: Pace, total: int, end: float, say) -> Pace:
    """Another number of updates for a training that is under way, and whether a method still fits, or fits now."""
    completed, step, before = pace.completed, pace.step, pace.total
    if name == LABELLED_ONLY:
        machine = Machine(**state['machine']).now(step, pace.evaluation)
        plan = lengths.shares(state['proposed'], machine, end - time.monotonic(), Images(**state['images']),
                              completed)
        state['machine'] = machine._asdict()
        if plan.method != state['method'] and not state['decided']:
            say(f'{step:.2f} s an update now: ' + (
                'too few updates of a method would fit, so all of the time is for labelled-only training'
                if plan.method == 'supervised' else f'{plan.rest} updates of {plan.method} fit after all'))
            state['method'], total = plan.method, max(plan.labelled_only, shortest(completed))
            pace = _pace(state, name, end, begun=True)
    say(f'{name}, planned anew after update {completed}: {step:.2f} s an update now, so {total} updates instead of '
        f'{before}, to end in time')
    state['planned_anew'].append({'run': name, 'after': completed, 'updates': total, 'before': before,
                                  'step_seconds': step})
    state[_key(name)] = pace.total = total
    _write(output, state)
    return pace


def _key(name: str) -> str:
    return 'labelled_only_steps' if name == LABELLED_ONLY else 'method_steps'


def _check_same(state: dict, folder: Path, output: Path, overrides) -> None:
    """Refuses a fit of another dataset or with other settings; none at all means those of the first call."""
    if 'own' not in state:
        raise InputError(f'--output={output}: holds a fit of another version\nvalid: another folder')
    if Path(state['folder']) != folder.resolve():
        raise InputError(f'--output={output}: holds a fit of {state["folder"]}\nvalid: another folder')
    before = dict(state['own'])
    for key, text in overrides:
        if before.get(key) != text:
            raise InputError(f'--config.{key}={text}: the fit in {output} was begun '
                             + (f'with {before[key]}' if key in before else 'without it')
                             + '\nvalid: the settings of the first call, or another --output')


def _read(output: Path) -> dict | None:
    path = output / STATE
    return json.loads(path.read_text()) if path.exists() and (output / FILE).exists() else None


def _write(output: Path, state: dict) -> None:
    draft = output / f'.{STATE}.part'
    draft.write_text(json.dumps(state, indent=2) + '\n')
    draft.replace(output / STATE)
