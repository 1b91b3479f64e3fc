"""`hardware=`: the estimate of a step's memory against compiled steps, and what is set for each device."""

import json
from pathlib import Path

import pytest
import tiny

from configs import cityscapes, voc
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import make_mesh
from s4mim_jax.planning import hardware
from s4mim_jax.planning.program import compile_step

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted((ROOT / 'benchmarks' / 'results').glob('plan_*.json'))


@pytest.mark.parametrize('path', PLANS, ids=lambda path: path.stem)
def test_the_estimate_is_a_little_more_than_a_compiled_step_of_a_chip_needs(path):
    plan = json.loads(path.read_text())
    batch = plan['batch']['labeled'] // plan['devices']['count']
    config = load_config(str(ROOT / f'configs/voc.py:{plan["method"]}'), [
        ('model.encoder', plan['model']['encoder']), ('data.crop', str(tuple(plan['model']['crop']))),
        ('precision', plan['precision']), ('batch.labeled', str(batch)), ('batch.unlabeled', str(batch))])
    assert 1.0 <= hardware.step_bytes(config) / plan['memory']['total'] < 1.35


@pytest.mark.slow
@pytest.mark.parametrize('method', ['unimatch', 's4mim'])
def test_the_estimate_follows_a_step_compiled_here(method):
    """Eight times the pixels and images: the estimate grows as the compiler's figure does."""
    def sizes(crop, batch):
        config = tiny.config(method, crop=crop, batch=batch, model__width=16, model__decoder_width=32)
        program = compile_step(config, tiny.CLASSES, make_mesh(config.copy_and_resolve_references(), _one_device()))
        return hardware.step_bytes(config, tiny.CLASSES), program.memory['total']

    (small, compiled_small), (large, compiled_large) = sizes((64, 64), 2), sizes((128, 128), 4)
    assert 0.6 < large / compiled_large < 1.7
    assert 0.6 < (large - small) / (compiled_large - compiled_small) < 1.7


def _one_device():
    import jax
    return jax.devices()[:1]


def test_each_device_gets_settings_that_fit_and_keep_the_batch():
    for name, gigabytes in hardware.GIGABYTES.items():
        config = cityscapes.get_config(f'unimatch,hardware={name}')
        assert (config.batch.labeled, config.batch.unlabeled, config.precision) == (8, 8, 'bfloat16')
        assert 8 % config.batch.accumulate == 0
        assert hardware.step_bytes(config) <= hardware.USABLE * gigabytes * 1e9
    small, large = (cityscapes.get_config(f'unimatch,hardware={name}') for name in ('16gb', '80gb'))
    assert small.batch.accumulate > large.batch.accumulate == 1 and small.model.remat
    # BatchNorm sees whole batches as long as recomputing is enough; a ViT's batch is cut instead.
    assert voc.get_config('unimatch,hardware=16gb').batch.accumulate == 1
    vit = voc.get_config('unimatch_v2,hardware=16gb')
    assert vit.batch.accumulate > 1 and not vit.model.remat


def test_what_fits_no_device_is_said():
    with pytest.raises(InputError, match='(?s)hardware=16gb: a step needs about .* GB even with.*larger device'):
        cityscapes.get_config('union,hardware=16gb,recipe=v2,model.encoder=dinov2_vitg14')
