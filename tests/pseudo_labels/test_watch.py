"""What is counted of pseudo-labels: shares in all and by class against loops, with pictures and without."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax import terms
from s4mim_jax.parallel import make_mesh
from s4mim_jax.pseudo_labels.selection import Target
from s4mim_jax.runs import loop, panels
from s4mim_jax.terms import Ratio
from s4mim_jax.training import create_state, passes, watch

CLASSES, SHAPE = 5, (2, 6, 7)


def world(method='s4mc', labels=True, seed=0):
    """(forward, batch, target, hidden labels). Class 3 is never a pseudo-label, some pixels are void."""
    draw = np.random.default_rng(seed)
    valid = draw.random(SHAPE) < 0.8
    target = Target(label=draw.choice([0, 1, 2, 4], SHAPE).astype(np.int32), kept=valid & (draw.random(SHAPE) < 0.6),
                    valid=valid, confidence=draw.random(SHAPE).astype(np.float32),
                    unrefined=valid & (draw.random(SHAPE) < 0.5))
    hidden = np.where(draw.random(SHAPE) < 0.2, 255, draw.integers(0, CLASSES, SHAPE))
    hidden = np.where(draw.random(SHAPE) < 0.5, target.label, hidden).astype(np.uint8)
    partner = draw.integers(0, CLASSES, SHAPE).astype(np.uint8)
    forward = SimpleNamespace(targets={'w': Target(*map(jnp.asarray, target))}, method=tiny.config(method).method)
    batch = {'unlabeled': {'label': jnp.asarray(np.stack([hidden, partner], 1))} if labels else {}}
    return forward, batch, target, hidden


def counted(target, hidden, label=None):
    """Name -> (sum, count), pixel by pixel; `label`: of pixels with this pseudo-label only."""
    found = {name: [0, 0] for name in ('kept', 'agreement', 'accuracy', 'accuracy_kept', 'accuracy_rejected')}

    def add(name, part):
        found[name][0] += bool(part)
        found[name][1] += 1

    for place in np.ndindex(SHAPE):
        said, kept, valid, _, unrefined = (field[place] for field in target)
        if not valid or label is not None and said != label:
            continue
        add('kept', kept)
        add('agreement', kept == unrefined)
        if hidden[place] == 255:
            continue
        add('accuracy', said == hidden[place])
        add('accuracy_kept' if kept else 'accuracy_rejected', said == hidden[place])
    return {name: tuple(pair) for name, pair in found.items()}


@pytest.mark.parametrize('seed', range(3))
def test_totals_are_those_of_a_loop_over_pixels(seed):
    forward, batch, target, hidden = world(seed=seed)
    found, expected = watch.totals(forward, batch), counted(target, hidden)
    assert found.keys() == expected.keys()
    for name, (part, whole) in expected.items():
        assert (int(found[name][0]), int(found[name][1])) == (part, whole), name
        assert found[name][0].dtype == jnp.float32 and found[name][1].dtype == jnp.int32
        assert 0 < part < whole  # every share is one that can be wrong


def test_counts_by_class_are_those_of_a_loop_over_pixels():
    forward, batch, target, hidden = world()
    found = watch.by_class(forward, batch, CLASSES)
    assert set(found) == set(counted(target, hidden))
    for label in range(CLASSES):
        for name, (part, whole) in counted(target, hidden, label).items():
            assert (int(found[name][0][label]), int(found[name][1][label])) == (part, whole), (name, label)
    assert all(parts.dtype == wholes.dtype == jnp.int32 for parts, wholes in found.values())
    totals = watch.totals(forward, batch)
    assert {name: (int(parts.sum()), int(wholes.sum())) for name, (parts, wholes) in found.items()} == {
        name: (int(part), int(whole)) for name, (part, whole) in totals.items()}
    line = watch.named(jax.device_get(found), 'abcde')
    assert line['kept/d'] is None and line['accuracy_rejected/d'] is None  # the absent class
    part, whole = counted(target, hidden, 1)['accuracy_kept']
    assert line['accuracy_kept/b'] == pytest.approx(part / whole) and len(line) == 5 * CLASSES


def test_only_what_is_known_is_counted():
    forward, batch, target, hidden = world('fixmatch', labels=False)
    assert {name: int(part) for name, (part, _) in watch.totals(forward, batch).items()} == {
        'kept': int(target.kept.sum())}
    assert set(watch.by_class(forward, batch, CLASSES)) == {'kept'}
    forward, batch, _, _ = world('fixmatch')
    assert 'agreement' not in watch.totals(forward, batch)  # nothing is refined
    nothing = SimpleNamespace(targets={}, method=tiny.config('supervised').method)
    assert watch.totals(nothing, {}) == watch.by_class(nothing, {}, CLASSES) == {}


def test_losses_that_are_means_over_classes_are_told_by_class(monkeypatch):
    """Views together: class 0 has 2 + 4 over 4 + 2, class 1 only 3 over 1, class 2 nothing."""
    ratio = lambda total, count: Ratio(jnp.array(total), jnp.array(count))
    views = [ratio([2.0, 3.0, 0.0], [4, 1, 0]), ratio([4.0, 0.0, 0.0], [2, 0, 0])]
    monkeypatch.setattr(terms.TERMS['class_wise_mim'], 'loss', lambda forward: views)
    method = tiny.config('s4mim', method__feature_aggregation=0.0).method
    found = watch.by_class(SimpleNamespace(targets={}, method=method), {}, 3)
    assert list(found) == ['loss/class_wise_mim']
    assert watch.named(jax.device_get(found), 'abc') == {
        'loss/class_wise_mim/a': 1.0, 'loss/class_wise_mim/b': 3.0, 'loss/class_wise_mim/c': None}


# Without pictures.

@pytest.mark.parametrize('method, student', [('fixmatch_ema', False), ('maskmatch', False), ('fixmatch', True),
                                             ('s4mim', True)])
def test_counting_runs_the_student_only_where_it_must(method, student):
    """Where the student teaches itself, and where losses are told by class."""
    plan = passes.passes_of(tiny.config(method).method)
    least = watch.needed(plan, tiny.config(method).method)
    assert least == plan if student else (least.calls, least.partner, least.scales) == ((), False, plan.scales)
    assert watch.any_by_class(plan, tiny.config(method).method)


def test_counts_do_not_depend_on_the_pictures(monkeypatch):
    tiny_network.replace(monkeypatch)
    drawn, pictures = [], panels.pictures
    monkeypatch.setattr(panels, 'pictures', lambda *arguments: drawn.append(arguments) or pictures(*arguments))
    config = tiny.config('fixmatch_ema', batch=2, crop=(16, 16), model__output_stride=8,
                         method__selection__refinement='union', method__selection__threshold='margin')
    state, mesh, found = create_state(config, tiny.CLASSES), make_mesh(config, jax.devices()[:1]), {}
    for images in (0, 2):
        config.log.images = images
        seen, found[images] = panels.make_snapshot(config, tiny.CLASSES, mesh)(state, tiny.batch(config), 3)
        assert bool(seen) == bool(drawn) == bool(images)
    assert panels.draw({}, np.zeros((5, 3), np.uint8)) == {}
    assert found[0].keys() == found[2].keys() == {
        'kept', 'agreement', 'accuracy', 'accuracy_kept', 'accuracy_rejected'}
    jax.tree.map(np.testing.assert_array_equal, found[0], found[2])
    assert int(found[0]['kept'][1].sum()) > 0


class Written:
    """In place of Monitor and of all that `_Run` makes before its first step."""

    def __init__(self, *arguments):
        self.lines, self.pictures = [], []

    def scalars(self, step, split, values, **labels):
        self.lines.append((step, split, values))

    def panel(self, step, name, picture):
        self.pictures.append(name)

    def close(self):
        pass


@pytest.mark.parametrize('method, images, looked', [('fixmatch_ema', 0, True), ('fixmatch_ema', 2, True),
                                                    ('supervised', 0, False)])
def test_an_evaluation_without_pictures_still_logs_the_counts(monkeypatch, method, images, looked):
    config = tiny.config(method, log__images=images)
    counts = {'kept': (np.array([1, 0]), np.array([4, 0]))}
    picture = {'x': np.zeros((1, 2, 2, 3), np.uint8)} | {name: np.zeros((1, 2, 2), int) for name in (
        'x_label', 'x_prediction')}
    monkeypatch.setattr(loop.panels, 'make_snapshot', lambda config, classes, mesh: lambda *arguments: (
        picture if config.log.images else {}, counts))
    result = {'miou': 0.5, 'pixel_accuracy': 0.5, 'iou': {}, 'images': 1}
    monkeypatch.setattr(loop.evaluation, 'make_evaluator', lambda *arguments: lambda *given: result)
    monkeypatch.setattr(loop, 'evaluation_batches', lambda *arguments, **named: [])
    monkeypatch.setattr(loop, 'Monitor', Written)
    monkeypatch.setattr(loop, 'describe', lambda *arguments: None)
    monkeypatch.setattr(loop._Run, '_run', lambda self: self._evaluate(None))
    run = loop._Run.__new__(loop._Run)
    run.__dict__ |= {
        'config': config, 'passes': passes.passes_of(config.method), 'completed': 3, 'main': True, 'folder': None,
        'mesh': None, 'opened': SimpleNamespace(evaluated=None, evaluated_table=None), 'writers': (),
        'loop': {'best_miou': None}, 'evaluations': [],
        'source': SimpleNamespace(num_classes=2, classes=('a', 'b'), palette=np.zeros((2, 3), np.uint8)),
        'state': SimpleNamespace(variables=lambda weights: None, ema=None), 'checkpoints': Written()}
    assert run.run()
    watched = [(step, values) for step, split, values in run.monitor.lines if split == 'watch']
    assert watched == ([(3, {'kept/a': 0.25, 'kept/b': None})] if looked else [])
    assert run.monitor.pictures == (['labeled'] if images else [])
