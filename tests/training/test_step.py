"""The step: what each method computes, how it divides its work, and that all layouts agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax.parallel import make_mesh
from s4mim_jax.training import Length, create_state, make_train_step
from s4mim_jax.views.randomness import StepRandomness


@pytest.fixture
def small(monkeypatch):
    """`tiny.config` for a network of three convolutions."""
    tiny_network.replace(monkeypatch)
    return lambda method, **changes: tiny.config(method, crop=(32, 32), model__output_stride=8,
                                                 **tiny.NO_JITTER, **changes)


def leaves(tree):
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]


STEPS = 5


def run(config, mesh=None):
    """(states after 0 .. STEPS updates, metrics of the last one)."""
    state, step = create_state(config, tiny.CLASSES, mesh), make_train_step(config, tiny.CLASSES, mesh)
    states = [jax.device_get(state)]
    for number in range(STEPS):
        state, metrics = step(state, tiny.batch(config, number))
        states.append(jax.device_get(state))
    return states, jax.device_get(metrics)


def agree(a, b, tolerance):
    """Leaf by leaf, relative to the leaf's largest entry."""
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(np.abs(x).max(initial=0), 0.01))


def same_training(one, other):
    """The first update entry by entry, and the way that the state has gone after the last.

    The same arithmetic in another order differs by 1e-5 of that way. But rounding decides now and then on the sign of
    an absolute value, on which side of a ReLU or of a tie of two classes a number lies, and each of the 8,448 pixels
    moves a gradient by up to half a percent. A missing sum, a mask or a key of its own on a device changes all of it.
    """
    agree(one[1], other[1], 1e-3)
    assert int(one[-1].step) == int(other[-1].step) == STEPS
    for part in ('params', 'batch_stats', 'opt_state', 'ema'):
        begin, a, b = (np.concatenate([leaf.ravel() for leaf in leaves(getattr(state, part))] or [np.zeros(1)])
                       for state in (one[0], one[-1], other[-1]))
        assert np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(a - begin), part


SLOW = ('fixmatch', 'unimatch_v2', 's4mc', 'maskmatch', 'masksup', 's4mim', 'union')
REAL = ('unimatch_v2',)  # with a ResNet; its three programs take minutes to compile, as those of the others would


@pytest.mark.parametrize('method', ['supervised', 'unimatch', *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)])
def test_one_and_eight_devices_and_both_partitions_agree(method, monkeypatch):
    # A low learning rate: what is compared is the arithmetic, not how training amplifies rounding.
    config = tiny.config(method, optimizer__learning_rate=1e-3)
    if method not in REAL:
        tiny_network.replace(monkeypatch)
        config.data.crop, config.model.output_stride = (32, 32), 8
    if method in SLOW:
        config.views.update(jitter_probability=0.0, blur_probability=0.0)
    # No pixel may sit at a threshold, where rounding would decide. S4MC's quantile is the margin of a pixel, so one
    # always does: that devices agree on the quantile is tested in test_partition.py, and here all pixels are kept.
    config.method.tau = 0.0
    if config.method.selection.threshold == 'partition':
        config.method.selection.update(threshold='margin', tau_margin=0.0)
    one, one_metrics = run(config)
    config.mesh.data = 8
    jit, jit_metrics = run(config, make_mesh(config))
    config.partition = 'shard_map'
    sharded, sharded_metrics = run(config, make_mesh(config))
    for other, metrics in ((jit, jit_metrics), (sharded, sharded_metrics)):
        same_training(one, other)
        assert {k: int(v.count) for k, v in metrics.items()} == {k: int(v.count) for k, v in one_metrics.items()}
        for name, metric in metrics.items():
            np.testing.assert_allclose(metric.total, one_metrics[name].total, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize('method', ['supervised', pytest.param('unimatch_v2', marks=pytest.mark.slow)])
def test_fsdp_places_parameters_in_parts_and_computes_the_same(method, small):
    config = small(method, model__width=64, optimizer__learning_rate=1e-3)
    config.method.tau = 0.0
    one, _ = run(config)
    config.mesh.update(data=4, fsdp=2)
    mesh = make_mesh(config)
    state = create_state(config, tiny.CLASSES, mesh)
    for tree in (state.params, state.opt_state, *([state.ema] if method == 'unimatch_v2' else [])):
        cut = [x for x in jax.tree.leaves(tree) if not x.sharding.is_fully_replicated]
        assert cut and all(x.size >= 2**14 for x in cut)
    same_training(one, run(config, mesh)[0])


def test_supervised_step_is_the_plain_gradient_step(small):
    """SGD on the mean cross-entropy over labelled pixels, written down independently."""
    config = small('supervised', batch=4, optimizer__momentum=0.0, optimizer__weight_decay=0.0,
                   optimizer__schedule='constant', optimizer__reference_batch=4)
    from s4mim_jax.models import build_model
    from s4mim_jax.views import normalize
    state, batch = create_state(config, tiny.CLASSES), tiny.batch(config)
    model, label = build_model(config, tiny.CLASSES), batch['labeled']['label'].astype(np.int32)

    def loss(params):
        outputs, _ = model.apply({'params': params, 'batch_stats': state.batch_stats},
                                 normalize(jnp.asarray(batch['labeled']['image'])), train=True, mutable=['batch_stats'])
        logs = jax.nn.log_softmax(outputs.logits)
        picked = jnp.take_along_axis(logs, jnp.where(label == 255, 0, label)[..., None], axis=-1)[..., 0]
        return -jnp.sum(jnp.where(label == 255, 0.0, picked)) / np.sum(label != 255)

    value, gradients = jax.jit(jax.value_and_grad(loss))(state.params)
    expected = jax.tree.map(lambda p, g: p - config.optimizer.learning_rate * g, state.params, gradients)
    after, metrics = make_train_step(config, tiny.CLASSES)(state, batch)
    np.testing.assert_allclose(metrics['loss'].total, value, rtol=1e-5)
    agree(expected, after.params, 1e-5)
    assert int(after.step) == 1


def test_accumulation_averages_micro_batches(small):
    """Two equal micro-batches (examples 2i and 2i + 1 alike) give the gradient of one of them."""
    config = small('supervised', batch=4, model__norm='group')
    batch = tiny.batch(config)['labeled']
    twice = {'labeled': {k: np.repeat(v, 2, axis=0) for k, v in batch.items()}}
    state, once = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES)
    expected, _ = once(state, {'labeled': batch})
    config.batch.update(labeled=8, accumulate=2)
    config.optimizer.reference_batch *= 2
    result, metrics = make_train_step(config, tiny.CLASSES)(state, twice)
    agree(expected.params, result.params, 1e-6)
    assert int(metrics['loss'].count) == 2


def test_a_weight_of_zero_removes_the_work(small):
    def flops(method, **changes):
        config = small(method, batch=2, **changes)
        state, batch = create_state(config, tiny.CLASSES), tiny.batch(config)
        return make_train_step(config, tiny.CLASSES).lower(state, batch).cost_analysis()['flops']

    supervised = flops('supervised')
    assert flops('fixmatch', method__consistency=0.0, method__supervised=1.0) == supervised
    assert flops('fixmatch') > 2 * supervised
    off = dict(method__semantic_mim=0.0, method__class_wise_mim=0.0, method__feature_aggregation=0.0)
    base = flops('s4mim_base')
    assert flops('s4mim', **off) == base
    assert flops('s4mim') > 1.5 * base


def test_empty_masks_and_no_kept_pixel_stay_finite(small):
    config = small('fixmatch', batch=2, method__tau=1.0)
    batch = tiny.batch(config)
    batch['labeled']['label'][:] = 255
    batch['unlabeled']['valid'][:] = False
    state, metrics = make_train_step(config, tiny.CLASSES)(create_state(config, tiny.CLASSES), batch)
    assert float(metrics['loss'].total) == 0.0
    assert all(np.isfinite(x).all() for x in leaves(state))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_state(small):
    config = small('supervised', batch=2, precision='bfloat16')
    state = create_state(config, tiny.CLASSES)
    lowered = make_train_step(config, tiny.CLASSES).lower(state, tiny.batch(config))
    assert 'bf16' in lowered.as_text()
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype('float32')}


def test_seed_decides_the_start(small):
    a, b, c = (create_state(small('supervised', seed=s), tiny.CLASSES) for s in (1, 1, 2))
    agree(a, b, 0)
    assert any((x != y).any() for x, y in zip(leaves(a.params), leaves(c.params)))


def test_the_network_starts_alike_whatever_is_trained_beside_it(small):
    """Paired comparisons: same initialisation; the pixel decoder is the student's alone."""
    base, mim = (create_state(small(m), tiny.CLASSES) for m in ('s4mim_base', 'union'))
    assert set(mim.params) == {'encoder', 'decoder', 'pixel_decoder'}
    agree(base.params, {k: mim.params[k] for k in base.params}, 0)
    agree(base.params, mim.ema['params'], 0)
    assert set(mim.variables('student')['params']) == set(mim.variables('teacher')['params']) == set(base.params)


def test_seeds_share_one_program_and_draw_differently(small):
    """The seed is a value of the step: five seeds of a run compile once."""
    texts, images = [], []
    for seed in (1, 4_000_000_000):
        config = small('union', batch=2, seed=seed)
        state, batch = create_state(config, tiny.CLASSES), tiny.batch(config)
        assert int(state.seed) == seed
        texts.append(make_train_step(config, tiny.CLASSES).lower(state, batch).as_text())
        keys = StepRandomness(state.seed, state.step).keys('photometric/s1', jnp.arange(2))
        images.append(np.asarray(jax.random.key_data(keys)))
    assert texts[0] == texts[1]
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize('partition', ['jit', 'shard_map'])
def test_one_program_serves_any_length(small, partition):
    """An open length gives what the config's own gives, and may change under way without another compilation."""
    settings = dict(optimizer__schedule='cosine', optimizer__warmup_steps=2, partition=partition,
                    method__teacher__half_life=0.1)
    config = small('fixmatch_ema', **settings)
    mesh = make_mesh(config)
    states, _ = run(config, mesh)
    step = make_train_step(config, tiny.CLASSES, mesh, open_length=True)
    state, opened = create_state(config, tiny.CLASSES, mesh), []
    length = Length(*(jnp.int32(n) for n in (config.total_steps, config.optimizer.warmup_steps)))
    for number in range(STEPS):
        state, _ = step(state, tiny.batch(config, number), length)
        opened.append(jax.device_get(state))
    same_training(states, [states[0], *opened])
    flat = lambda tree: np.concatenate([leaf.ravel() for leaf in leaves(tree.params)])
    moved = [np.linalg.norm(flat(step(state, tiny.batch(config), Length(jnp.int32(total), jnp.int32(0)))[0])
                            - flat(state)) for total in (STEPS + 1, 100)]
    assert step._cache_size() == 1 and 0 < moved[0] < 0.2 * moved[1]  # the end of a cosine, and its beginning
