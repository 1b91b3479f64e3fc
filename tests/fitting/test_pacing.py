"""The length of a training follows the clock, which is planted here: no test waits, and none depends on the machine."""

import copy
import json
import os
import signal

import pytest
import tiny
import tiny_network
import tiny_run
from dataset_trees import write_image, write_mask

from s4mim_jax.fitting import lengths, outcome, pacing, pipeline, rules
from s4mim_jax.fitting.pacing import new_length
from s4mim_jax.fitting.timing import Timing
from s4mim_jax.runs import loop
from s4mim_jax.runs.loop import SHOWN_EVERY
from s4mim_jax.training.optimizer import base_learning_rate, schedule

STEP, START, EVALUATION = 0.5, 20.0, 2.0


class World:
    """A machine with a clock of its own: everything takes `load(now)` times what it takes when nothing else runs."""

    def __init__(self, load, ratio=1.85, evaluation=EVALUATION):
        self.now, self.load, self.ratio, self.runs, self.trained, self.scored = 0.0, load, ratio, {}, [], []
        self.evaluation = evaluation

    def monotonic(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds * self.load(self.now)

    def train(self, config, workdir, pace=None):
        """Stands for `runs.loop.train`: goes on where it stopped, logs, evaluates, asks the pace."""
        marked = update = self.runs.get(workdir.name, 0)
        if update >= config.total_steps:
            return 0
        began, step = self.now, STEP * (1.0 if workdir.name == 'labelled_only' else self.ratio)
        self.spend(START)
        start, spent, evaluations = self.now - began, 0.0, []
        self.trained.append((workdir.name, update, config.total_steps))
        while update < config.total_steps:
            before, update = self.now, update + 1
            self.spend(step)
            spent += self.now - before
            if update % config.log.every == 0 or spent > SHOWN_EVERY:
                usual = evaluations[-1] if len(evaluations) > 1 else None
                if update < config.total_steps and pace:
                    config.update_from_flattened_dict(pace(update, spent / (update - marked), usual) or {})
                marked, spent = update, 0.0
            if update == config.total_steps or update % config.eval.every == 0:
                before = self.now
                self.spend(self.evaluation)
                evaluations.append(self.now - before)
                self.scored.append((workdir.name, update))
        self.runs[workdir.name] = update
        workdir.mkdir(exist_ok=True)
        (workdir / 'cost.json').write_text(json.dumps({
            'step_seconds': step, 'first_step_seconds': start, 'evaluation_seconds': min(evaluations)}))
        return 0


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """fit(world, minutes, **keys) -> state, on a folder with 10 labelled and 30 unlabelled images."""
    for i in range(40):
        write_image(tmp_path / f'set/images/i{i:02d}.png', size=(96, 96))
        if i < 10:
            write_mask(tmp_path / f'set/masks/i{i:02d}.png', (0, 1), size=(96, 96))
    monkeypatch.setenv('S4MIM_WEIGHTS', str(tmp_path / 'none'))

    def run(world, minutes, output='run', **keys):
        monkeypatch.setattr(pipeline, 'time', world)
        monkeypatch.setattr(pacing, 'time', world)
        monkeypatch.setattr('s4mim_jax.runs.loop.train', world.train)
        monkeypatch.setattr(lengths, 'evaluation_estimate', lambda config, found, step: world.evaluation)
        monkeypatch.setattr(pipeline, 'confident', lambda run: dict.fromkeys(rules.SMALL_TAU, 0.7))

        def measure(config):
            world.spend(START + 4 * STEP)
            return Timing(STEP * world.load(world.now), START * world.load(world.now))

        monkeypatch.setattr(pipeline, 'measure', measure)
        monkeypatch.setattr(outcome, 'score', lambda output, state, say: world.spend(15.0))
        monkeypatch.setattr(outcome, 'predict', lambda output, state, say: None)
        return pipeline.run(tmp_path / 'set', tmp_path / output, minutes, list(keys.items()), say=lambda line: None)

    return run


def test_a_steady_machine_needs_no_second_plan(fit):
    world = World(lambda now: 1.0)
    state = fit(world, 30)
    assert not state['planned_anew'] and len(world.trained) == 2
    assert 0.8 * 1800 < world.now <= 1800 and state['minutes'] == pytest.approx(world.now / 60, abs=0.01)
    assert world.runs == {'labelled_only': state['labelled_only_steps'], 'fixmatch_ema': state['method_steps']}


@pytest.mark.parametrize('since', [0, 100, 200, 400, 600, 900, 1200, 1500])
@pytest.mark.parametrize(('factor', 'over'), [(1.5, 0.1), (3.0, 0.1), (6.0, 0.2)])
def test_a_load_that_rises_hardly_overruns(fit, since, factor, over):
    world = World(lambda now: factor if now > since else 1.0)
    state = fit(world, 30)
    assert world.now <= 1800 * (1 + over)
    assert world.runs['labelled_only'] == state['labelled_only_steps']  # the schedules came to their ends
    assert world.runs.get('fixmatch_ema', 0) == state['method_steps'] and len(state['planned_anew']) <= 8


@pytest.mark.parametrize('since', [100, 400, 600, 900])
def test_a_load_that_falls_gives_its_time_back(fit, since):
    slow, quick = World(lambda now: 4.0), World(lambda now: 4.0 if now < since else 1.0)
    fit(slow, 30, 'slow')
    state = fit(quick, 30, 'quick')
    assert quick.now <= 1800 * 1.05
    assert sum(quick.runs.values()) > 1.4 * sum(slow.runs.values())
    assert quick.now > 0.75 * 1800 or state['method_steps'] == rules.METHOD_STEPS


def test_a_method_that_costs_more_than_the_table_says_is_planned_anew_early(fit):
    world = World(lambda now: 1.0, ratio=3.0)
    state = fit(world, 30)
    again, = state['planned_anew']
    assert again['run'] == 'fixmatch_ema' and again['after'] < 0.15 * again['before'] and world.now <= 1800 * 1.05


@pytest.mark.parametrize('period', [50, 130, 310, 700])
@pytest.mark.parametrize('factor', [2.0, 8.0, 15.0])
def test_a_load_that_comes_and_goes(fit, period, factor):
    world = World(lambda now: factor if now % period < period / 3 else 1.0)
    state = fit(world, 20)
    assert 1200 * 0.7 <= world.now <= 1200 * 1.3
    assert world.runs['labelled_only'] == state['labelled_only_steps']
    assert world.runs.get('fixmatch_ema', 0) == state['method_steps']
    assert (state['method'] == 'supervised') == (state['method_steps'] == 0)
    times = [sum(run == name for run, _ in world.scored) for name in world.runs]
    assert max(times) <= 9  # four, and four more where it goes on


@pytest.mark.parametrize(('evaluation', 'scores'), [(30.0, 4), (60.0, 2), (150.0, 1)])
def test_a_large_val_is_scored_less_often(fit, monkeypatch, evaluation, scores):
    """At most 15 % of 30 minutes for the scores of both trainings; their last steps are scored always."""
    monkeypatch.setattr(lengths, 'images_of', lambda found: lengths.Images(val=2000, unlabelled=30))
    world = World(lambda now: 1.0, evaluation=evaluation)
    state = fit(world, 30)
    assert world.now <= 1800 * 1.05
    for name in ('labelled_only', 'fixmatch_ema'):
        scored = [step for run, step in world.scored if run == name]
        assert len(scored) == scores and scored[-1] == world.runs[name]
    assert (state['machine']['evaluation'], state['machine']['evaluations']) == (evaluation, scores)


def test_where_no_method_fits_any_more_all_the_time_is_for_the_labelled_images(fit):
    world = World(lambda now: 1.0 if now < 60 else 12.0)
    state = fit(world, 30)
    assert state['proposed'] == 'fixmatch_ema' and state['method'] == 'supervised'
    assert set(world.runs) == {'labelled_only'} and 0.8 * 1800 < world.now < 1.15 * 1800


def test_a_method_that_fits_after_all_is_trained(fit):
    world = World(lambda now: 12.0 if now < 290 else 1.0)
    state = fit(world, 30)
    assert state['method'].startswith('fixmatch_ema') and state['method_steps'] > rules.FEWEST_METHOD_STEPS
    assert world.now < 1.1 * 1800


def test_an_interrupted_call_has_spent_its_time(fit, monkeypatch):
    world = World(lambda now: 1.0)
    train = world.train

    def stopped(config, workdir, pace=None):
        if workdir.name == 'labelled_only':
            return train(config, workdir, pace)
        world.spend(300.0)
        return 130

    world.train = stopped
    with pytest.raises(pipeline.Stopped):
        fit(world, 30)
    first, world.train = world.now, train
    state = fit(world, 30)
    assert world.now <= 1800 * 1.05 and state['minutes'] == pytest.approx(world.now / 60, abs=0.02) and first > 300
    with pytest.raises(pipeline.InputError, match='was begun without it'):
        fit(world, 30, **{'data.split': 'seeded:1/2'})


def test_updates_that_are_set_are_kept_whatever_the_clock_says(fit):
    world = World(lambda now: 20.0)
    state = fit(world, 5, total_steps='50')
    assert world.runs == {'labelled_only': 50, 'fixmatch_ema': 50} and state['method'] == 'fixmatch_ema,tau=0.95'


def plan(**changes):
    usual = dict(completed=100, total=1000, step=1.0, evaluation=10.0, left=940.0, budget=1000.0, most=4000)
    return new_length(**usual | changes)


def test_small_deviations_are_let_be():
    assert plan() is None
    assert plan(step=1.05) is None and plan(step=0.95) is None


def test_a_new_length_ends_in_time():
    length = plan(step=2.0)
    assert length == 100 + (940 - 40) // 2
    assert plan(step=0.5, most=1500) == 1500 and plan(step=0.5) == 100 + (940 - 40) * 2
    assert plan(completed=801, step=0.1) is None  # the rate has fallen: more updates would raise it again
    assert plan(total=4000, step=0.1) is None  # no more than these


def test_the_end_comes_soon_where_the_time_is_over():
    assert plan(completed=800, left=-100.0, step=10.0) == 816  # 2 %, the shortest end
    assert plan(completed=990, left=-100.0) is None  # its own end is as near
    assert pacing.shortest(3) == 4
    assert plan(completed=3, total=50, left=-100.0) == 20 and plan(completed=3, total=15, left=-100.0) is None


def test_a_hiccup_is_no_new_pace():
    now = [0.0]
    pace = pacing.Pace(1000.0, 900, 4000, step=1.0, clock=lambda: now[0])
    for completed, stretch in ((20, 1.0), (220, 1.0), (221, 30.0), (241, 1.0), (261, 1.0)):
        now[0] = completed
        assert pace(completed, stretch, None) is None
    assert 1.0 < pace.step < 1.1 and pace(270, None, None) is None
    assert pace(280, 4.0, None) is None and pace(300, 4.0, None) < 900  # two of three are slow
    assert pace(320, 9.0, None) is None and pace(340, 9.0, None) is None  # three looks before the next plan
    assert lengths.every(10, 4) == {'eval.every': 3, 'checkpoint.every': 3, 'log.every': 1}
    assert lengths.every(1000, 1) == {'eval.every': 1000, 'checkpoint.every': 250, 'log.every': 25}


def test_a_real_training_goes_on_with_the_new_length(tmp_path, monkeypatch):
    """Every step once in the log, the rate at its end, and an interrupted run goes on bit by bit as it would have."""
    tiny_network.replace(monkeypatch)
    config = tiny.config('fixmatch_ema', data__name='folder', data__dir=str(tiny_run.dataset(tmp_path / 'set')),
                         data__split='seeded:1/2', total_steps=40, log__every=2, eval__every=10, log__images=0,
                         optimizer__schedule='cosine', model__output_stride=8)
    seen = []

    def pace(completed, stretch, evaluation):
        seen.append((completed, evaluation))
        assert stretch > 0
        if completed == 6:
            return {'total_steps': 13, 'eval.every': 5, 'log.every': 3}
        if completed == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return None

    stop = None
    assert loop.train(copy.deepcopy(config), tmp_path / 'run', pace) == 0
    assert [completed for completed, _ in seen] == [2, 4, 6, 9, 12]
    lines = [json.loads(line) for line in (tmp_path / 'run/metrics.jsonl').read_text().splitlines()]
    rates = {line['step']: line['learning_rate'] for line in lines if line['split'] == 'train'}
    assert list(rates) == [2, 4, 6, 9, 12, 13] and [line['step'] for line in lines if 'miou' in line] == [10, 13]
    config.total_steps = 13
    assert rates[13] == pytest.approx(base_learning_rate(config) * float(schedule(config)(12)))
    assert rates[13] < 0.02 * base_learning_rate(config)
    assert json.loads((tmp_path / 'run/config.json').read_text())['total_steps'] == 13
    stop, again = 9, copy.deepcopy(config)
    again.total_steps = 40
    assert loop.train(again, tmp_path / 'stopped', pace) == 130
    config.update_from_flattened_dict({'eval.every': 5, 'log.every': 3})
    assert loop.train(config, tmp_path / 'stopped', lambda *seen: None) == 0
    assert (tmp_path / 'stopped/metrics.jsonl').read_text() == (tmp_path / 'run/metrics.jsonl').read_text()
