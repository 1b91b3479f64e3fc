"""From a folder to a trained network, its scores, predictions and a page: what `fit` does, in its order."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from s4mim_jax.config.command_line import compilation_cache, load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.fitting import fingerprint, rules
from s4mim_jax.fitting.proposal import FILE, Proposal, propose
from s4mim_jax.fitting.timing import Timing, measure

STATE, LABELLED_ONLY, PREDICTIONS = 'fit.json', 'labelled_only', 'predictions'
LOOKED_AT = 24  # unlabelled images on which tau is chosen
SEEN = 0.001  # share of the pixels from which on a predicted class counts for it
DRAWN = 200  # unlabelled images that are predicted at most; `predict --pseudo_labels` does the rest


class Stopped(Exception):
    """A training ended early. status: 128 + signal, or 3 for a loss that is no number."""

    def __init__(self, status: int, where: Path):
        super().__init__(f'stopped; the same command continues ({where})')
        self.status = status


def run(folder, output: Path, minutes: float, overrides: Sequence[tuple[str, str]] = (), plan_only: bool = False,
        say: Callable[[str], None] = print) -> dict:
    """Proposes, trains, scores, predicts; goes on where an earlier call with the same output stopped.

    Args:
      folder: the dataset. output: folder for everything. minutes: for all of it.
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
    inside = Path(output).resolve()
    if inside == Path(folder).resolve() or Path(folder).resolve() in inside.parents:
        raise InputError(f'--output={output}: lies in the dataset, {folder}\nvalid: a folder outside of it')
    output = Path(prepare(output))
    compilation_cache(str(output / LABELLED_ONLY))
    state = _read(output)
    if state is None:
        state = first_plan(folder, output, minutes, overrides, say)
    elif Path(state['folder']) != Path(folder).resolve():
        raise InputError(f'--output={output}: holds a fit of {state["folder"]}\nvalid: another folder')
    else:
        say(f'going on in {output} as planned there')
    if plan_only:
        return state
    left = lambda: 60 * minutes - (time.monotonic() - began)
    calibrate(output, state, say)
    if state['method'] != 'supervised':
        if not state['method_steps']:
            decide_method(output, state, left(), say)
        if state['method'] != 'supervised':
            train(output, state, state['method'], say)
    score(output, state, say)
    predict(output, state, say)
    state['minutes'] = round(state.get('minutes', 0) + (time.monotonic() - began) / 60, 2)
    _write(output, state)
    return state


def first_plan(folder, output: Path, minutes: float, overrides, say) -> dict:
    """The proposal, measured: prints it with reasons, writes config.py and fit.json."""
    began = time.monotonic()
    proposal = propose(folder, overrides)
    for line in fingerprint.describe(proposal.found):
        say(line)
    # With the steps that most calibrations get: the compiled program serves again.
    probe = proposal.config('supervised')
    probe.total_steps = rules.CALIBRATION_STEPS
    timing = measure(probe)
    say(f'measured: {timing.step:.2f} s an update of labelled-only training, {timing.start:.0f} s before the first')
    steps = budget(proposal, timing, 60 * minutes - (time.monotonic() - began))
    say('\nplan')
    for line in proposal.lines():
        say(f'  {line}')
    path = proposal.write(output)
    say(f'written to {path}: edit it, or pass it to train --config={path}\n')
    state = {'folder': str(Path(folder).resolve()), 'method': proposal.method, 'labelled_only_steps': steps,
             'method_steps': steps if 'total_steps' in dict(proposal.user) else 0,
             'fixed': [key for key, _ in proposal.user], 'step_seconds': timing.step, 'start_seconds': timing.start,
             'reasons': [list(map(str, s)) for s in proposal.settings] + [[k, t, 'yours'] for k, t in proposal.user],
             'fingerprint': fingerprint.describe(proposal.found)}
    _write(output, state)
    return state


def budget(proposal: Proposal, timing: Timing, seconds: float) -> int:
    """Sets method, steps and how often is evaluated; returns the updates of the labelled-only training."""
    fixed = dict(proposal.user).get('total_steps')
    if fixed:  # of either training
        rhythm(proposal, int(fixed))
        return int(fixed)
    usable = max(seconds - 4 * timing.start, 0.3 * seconds)  # two compilations, of which the method's takes longer
    steps = rules.calibration_steps(usable, timing.step)
    rest = rules.method_steps(usable - steps * timing.step, timing.step, proposal.method)
    if proposal.method != 'supervised' and rest < rules.FEWEST_METHOD_STEPS:
        proposal.method = 'supervised'
        proposal.set('METHOD', 'supervised', f'only {rest} updates of a method that learns from unlabelled images '
                     f'fit the time, and below {rules.FEWEST_METHOD_STEPS} they do not pay')
    if proposal.method == 'supervised':
        steps = rest = max(20, min(int(usable / timing.step), rules.METHOD_STEPS))
    proposal.set('total_steps', rest, f'{timing.step:.2f} s an update of labelled-only training on this machine, in '
                 f'{seconds / 60:.0f} minutes')
    rhythm(proposal, rest)
    return steps


def single(proposal: Proposal, timing: Timing, seconds: float) -> None:
    """Sets the updates of one training of the proposed method that takes all of the time."""
    usable = max(seconds - 3 * timing.start, 0.5 * seconds)
    steps = max(20, rules.method_steps(usable, timing.step, proposal.method))
    proposal.set('total_steps', steps, f'{timing.step:.2f} s an update of labelled-only training on this machine, in '
                 f'{seconds / 60:.0f} minutes')
    rhythm(proposal, steps)


def rhythm(proposal: Proposal, steps: int) -> None:
    """How often a run of so many updates is scored, saved and logged."""
    proposal.set('eval.every', _quarter(steps), 'four scores on val choose the checkpoint')
    proposal.set('checkpoint.every', _quarter(steps), 'likewise')
    proposal.set('log.every', max(steps // 40, 1), 'forty lines')
    proposal.set('optimizer.warmup_steps', steps // 20, 'a twentieth of the run, about that of configs/shapes_start.py')
    proposal.set('log.images', 0, 'a program less to compile; the page shows predictions')


def _quarter(steps: int) -> int:
    """Of a run, rounded up: the fourth score is the one at its end, not one a step before it."""
    return -(-steps // 4)


def calibrate(output: Path, state: dict, say) -> None:
    """The labelled-only training: the host to beat, the beginning of the method, and the measure of the machine."""
    train(output, state, 'supervised', say, state['labelled_only_steps'])


def decide_method(output: Path, state: dict, seconds: float, say) -> None:
    """Steps of the method from the time that is left and the step as it was; tau from the calibrated network."""
    cost = json.loads((output / LABELLED_ONLY / 'cost.json').read_text())
    reserve = 2 * cost['first_step_seconds'] + 0.1 * max(seconds, 0)
    steps = rules.method_steps(max(seconds - reserve, 0), cost['step_seconds'], state['method'])
    if steps < rules.FEWEST_METHOD_STEPS:
        say(f'{seconds / 60:.1f} minutes are left for {steps} updates of {state["method"]}: too few to pay; the '
            'labelled-only network it is')
        state['method'] = 'supervised'
    else:
        kept = confident(output)
        tau = rules.threshold(kept)
        share = ', '.join(f'{t:g}: {100 * k:.0f} %' for t, k in kept.items())
        say(f'pixels of a class that reach a threshold, on unlabelled images: {share}; tau = {tau:g}')
        state['method'] = f'{state["method"].partition(",")[0]},tau={tau:g}'
        state['method_steps'] = steps
    _write(output, state)


def train(output: Path, state: dict, method: str, say, steps: int | None = None) -> None:
    """Trains the config file with a method; a run that is complete is left alone."""
    from s4mim_jax.config.validation import validate
    from s4mim_jax.runs.loop import train as run_training
    name = LABELLED_ONLY if method == 'supervised' else method.partition(',')[0]
    steps = steps or state['method_steps']
    every = str(_quarter(steps))
    overrides = [('total_steps', str(steps)), ('eval.every', every), ('checkpoint.every', every),
                 ('log.every', str(max(steps // 40, 1))), ('optimizer.warmup_steps', str(steps // 20))]
    if name != LABELLED_ONLY:  # begins where the labelled-only training ended
        overrides += [('model.pretrained', str(output / LABELLED_ONLY))]
    overrides = [(key, text) for key, text in overrides if key not in state['fixed'] or key == 'model.pretrained']
    config = load_config(f'{output / FILE}:{method}', overrides)
    validate(config)
    say(f'\n{name}: {steps} updates')
    status = run_training(config, output / name)
    if status:
        raise Stopped(status, output)


def confident(output: Path) -> dict[float, float]:
    """tau -> share of the pixels of a class whose confidence reaches it; see `kept_of_a_class`."""
    from s4mim_jax.data.samples import read_image
    from s4mim_jax.prediction.loading import load
    predictor = load(output / LABELLED_ONLY)
    source, samples = _unlabelled(predictor.config)
    chosen = dict.fromkeys(samples[i * len(samples) // LOOKED_AT] for i in range(LOOKED_AT))
    images = [read_image(source, sample) for sample in chosen]
    pairs = [(ids[::2, ::2].ravel(), top[::2, ::2].ravel()) for ids, top in predictor.predict(images, confidence=True)]
    return kept_of_a_class(*map(np.concatenate, zip(*pairs)))


def kept_of_a_class(ids: np.ndarray, confidence: np.ndarray) -> dict[float, float]:
    """Of each predicted class the share of its pixels that reach a threshold; the mean over the classes.

    A share of all pixels is that of the largest class: a network that knows little but background reaches any threshold
    there, and then nothing else is learned (docs/evidence.md).

    Args:
      ids: predicted classes, ints [N]. confidence: floats [N]. Classes of less than SEEN of the pixels are left out.
    """
    values, counts = np.unique(ids, return_counts=True)
    tops = [confidence[ids == value] for value, count in zip(values, counts) if count >= SEEN * ids.size]
    return {tau: float(np.mean([(top >= tau).mean() for top in tops])) for tau in rules.SMALL_TAU}


def _unlabelled(config) -> tuple:
    """(source, unlabelled training samples without those that are labelled too)."""
    from s4mim_jax import data
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    labelled = {sample.image for sample in split.labeled}
    return source, [sample for sample in split.unlabeled if sample.image not in labelled]


def score(output: Path, state: dict, say) -> None:
    """Scores both runs on val and, where there is one, on test; the better on val is the one that predicts."""
    from s4mim_jax.evaluate import evaluate_run
    names = [LABELLED_ONLY] + ([state['method'].partition(',')[0]] if state['method'] != 'supervised' else [])
    state['scores'] = {}
    for name in names:
        config = json.loads((output / name / 'config.json').read_text())
        splits = [config['eval']['split']] + (['test'] if state_has_test(output / name) else [])
        state['scores'][name] = {split: evaluate_run(output / name, weights='better', split=split)['miou']
                                 for split in splits}
    state['best'] = max(names, key=lambda name: next(iter(state['scores'][name].values())))
    for name, scores in state['scores'].items():
        say(f'{name:16} ' + ', '.join(f'{split} mIoU {value:.4f}' for split, value in scores.items()))
    say(f'the better on val predicts: {state["best"]}')
    _write(output, state)


def state_has_test(workdir: Path) -> bool:
    """Whether the dataset of a run has a test split with a mask for every image."""
    from s4mim_jax import data
    from s4mim_jax.runs.run_folder import read_config
    source = data.open_source(read_config(workdir).data)
    samples = source.splits.get('test')
    return bool(samples) and all(s.mask for s in samples) and samples != source.splits.get('val')


def predict(output: Path, state: dict, say) -> None:
    """Pseudo-labels of the unlabelled images, in the order in which to correct them."""
    from s4mim_jax.predict import predict_files
    from s4mim_jax.prediction.loading import load
    from s4mim_jax.prediction.pseudo_label_files import PseudoLabels
    predictor = load(output / state['best'], weights='better')
    _, samples = _unlabelled(predictor.config)
    paths, names = [Path(sample.image) for sample in samples], [sample.id for sample in samples]
    if not paths or not paths[0].is_file():
        say('no unlabelled image files: nothing to predict')
        return
    folder = output / PREDICTIONS
    chosen = [i * len(paths) // min(DRAWN, len(paths)) for i in range(min(DRAWN, len(paths)))]
    chosen = [i for i in chosen if not (folder / f'{names[i]}.png').exists()]
    folder.mkdir(exist_ok=True)
    pseudo = PseudoLabels(folder, 0.9, predictor.classes, predictor.palette, predictor.config.data.label_map)
    if chosen:
        predict_files(predictor, [paths[i] for i in chosen], [names[i] for i in chosen], folder, pseudo=pseudo)


def _read(output: Path) -> dict | None:
    path = output / STATE
    return json.loads(path.read_text()) if path.exists() and (output / FILE).exists() else None


def _write(output: Path, state: dict) -> None:
    draft = output / f'.{STATE}.part'
    draft.write_text(json.dumps(state, indent=2) + '\n')
    draft.replace(output / STATE)
