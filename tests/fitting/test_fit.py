"""`fit`: the fingerprint of a dataset, the rules, the config file; the whole way is a slow test."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
import tiny_network
from dataset_trees import write_folder, write_image, write_mask
from PIL import Image

import s4mim_jax
from s4mim_jax.config import base
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.fitting import confident, fingerprint, lengths, pipeline, rules
from s4mim_jax.fitting.fingerprint import Fingerprint
from s4mim_jax.fitting.pixels import PixelSettings
from s4mim_jax.fitting.proposal import Proposal, fit_memory, propose
from s4mim_jax.fitting.timing import Timing
from s4mim_jax.fitting.weights import Weights

PLAIN = PixelSettings(3, None, None, None, '3 channel(s), 8 bits')
CAMVID = Fingerprint(
    name='folder', dir='/data/camvid', classes=('sky', 'road', 'pole'), labelled=23, unlabelled=344, val=101, test=233,
    held_out=0, size=(360, 480), sizes=1, aspects=(1.333, 1.333), pixels=PLAIN, label_map=None,
    shares=(0.5, 0.48, 0.02), objects=(0.3, 0.6, 0.02), platform='cpu', devices=1, memory=16 * 2**30, cores=2,
    weights=(Weights('/w/mobilenet.safetensors', 'mobilenet_v2', (('padding', 'same'),)),))


def decided(found, **fixed):
    return {s.key: s.value for s in rules.decide(found, fixed)}


def test_camvid_on_a_laptop_is_what_the_hand_set_config_is():
    plan, hand = decided(CAMVID), load_config('configs/camvid.py:fixmatch_ema', [])
    assert plan['data.resize'] == tuple(hand.data.resize) and plan['data.crop'] == tuple(hand.data.crop)
    for key in ('encoder', 'padding', 'decoder_width', 'low_level_width'):
        assert plan[f'model.{key}'] == hand.model[key]
    for key in ('learning_rate', 'head_multiplier', 'weight_decay'):
        assert plan[f'optimizer.{key}'] == hand.optimizer[key]
    assert plan['METHOD'] == 'fixmatch_ema' and plan['model.pretrained'] == '/w/mobilenet.safetensors'
    assert plan['model.freeze_norm'] and 'data.val' not in plan


@pytest.mark.parametrize(('change', 'expected'), [
    (dict(weights=()), {'model.encoder': 'resnet18', 'model.pretrained': 'package:patterns', 'model.decoder': 'unet',
                        'optimizer.learning_rate': 3e-3}),
    (dict(unlabelled=0), {'METHOD': 'supervised'}),
    (dict(held_out=5), {'data.val': 'seeded:1/5'}),
    (dict(label_map='0:0,255:1'), {'data.label_map': '0:0,255:1'}),
    (dict(pixels=PixelSettings(1, (0.0, 4100.0), (0.4,), (0.2,), '')),
     {'data.channels': 1, 'data.value_range': (0.0, 4100.0), 'data.mean': (0.4,)}),
    (dict(size=(96, 96), pixels=PixelSettings(1, None, (0.4,), (0.2,), '')),
     {'views.hue': None, 'views.saturation': None, 'views.contrast': 0.25}),  # no colour
    (dict(size=(96, 96)), {'data.crop': (64, 64), 'data.scale': (0.75, 1.5), 'views.hue': 0.05,
                          'method.cutmix.probability': 1.0}),
    (dict(sizes=9, aspects=(0.7, 1.5), size=(3000, 4000)), {'eval.mode': 'sliding', 'eval.multiple': 32}),
    (dict(size=(40, 60)), {'data.crop': (32, 32)}),
    (dict(shares=(0.994, 0.006, 0.0)), {'method.class_balance': 'effective'}),
    (dict(shares=(0.4, 0.3, 0.29, 0.01)), {'method.class_balance': 'effective'}),
    (dict(shares=(*(0.06,) * 16, 0.025, 0.015)), {'method.class_balance': None}),  # many classes, none of them rare
    (dict(devices=3), {'batch.labeled': 9, 'batch.unlabeled': 9}),
    (dict(platform='gpu'), {'data.crop': (256, 320)}),
    (dict(weights=(Weights('/w/vit.pth', 'dinov3_vits16', ()),), platform='cpu'),
     {'model.encoder': 'dinov3_vits16', 'model.decoder': 'dpt', 'data.crop': (128, 160)}),
    (dict(weights=(Weights('/w/vit.pth', 'dinov2_vits14', ()),)),
     {'model.encoder': 'dinov2_vits14', 'model.decoder': 'dpt', 'data.crop': (126, 168)}),
])
def test_the_rules_follow_the_dataset(change, expected):
    found = dataclasses.replace(CAMVID, **change)
    plan = decided(found)
    assert {key: plan.get(key) for key in expected} == expected
    if change.get('platform') != 'gpu':
        validate(Proposal(found, rules.decide(found)).config('fixmatch_ema'))


def test_every_rule_has_a_source_and_every_setting_a_reason():
    assert all(rule.source for rule in rules.TABLE)
    assert all(setting.why for setting in rules.decide(CAMVID))


def test_what_the_user_sets_stays():
    plan = decided(CAMVID, **{'data.crop': (64, 64), 'model.encoder': 'resnet18'})
    assert 'data.crop' not in plan and 'model.encoder' not in plan
    assert plan['model.aspp_rates'] == (2,)  # decided by the crop that the user chose
    bare = decided(dataclasses.replace(CAMVID, weights=()), **{'model.encoder': 'resnet50'})
    assert 'model.pretrained' not in bare and bare['optimizer.learning_rate'] == 3e-3


def test_steps_fill_the_time_and_short_times_stay_labelled_only():
    proposal = Proposal(CAMVID, rules.decide(CAMVID), method='fixmatch_ema')
    steps = lengths.budget(proposal, Timing(0.35, 20.0), 1800.0)
    config = proposal.config('fixmatch_ema')
    spent = 0.35 * steps + 0.35 * rules.RELATIVE_STEP['fixmatch_ema'] * config.total_steps
    assert steps == 1000 and 1600 < spent <= 1800 - 80 and config.eval.every == -(-config.total_steps // 4)
    short = Proposal(CAMVID, rules.decide(CAMVID), method='fixmatch_ema')
    steps = lengths.budget(short, Timing(2.0, 30.0), 300.0)
    assert short.method == 'supervised' and 2.0 * steps <= 300 - 120 and 'do not pay' in ' '.join(short.lines())


def test_updates_that_the_user_sets_are_those_of_both_trainings():
    proposal = Proposal(CAMVID, rules.decide(CAMVID), [('total_steps', '70')], 'fixmatch_ema')
    assert lengths.budget(proposal, Timing(9.0, 200.0), 300.0) == 70 and proposal.method == 'fixmatch_ema'
    config = proposal.config()
    assert config.total_steps == 70 and config.eval.every == 18  # 18, 36, 54 and the end


def test_tau_keeps_enough_of_the_pixels():
    assert rules.threshold({0.95: 0.5, 0.9: 0.6, 0.8: 0.7, 0.7: 0.8, 0.6: 0.9}) == 0.95
    assert rules.threshold({0.95: 0.1, 0.9: 0.2, 0.8: 0.51, 0.7: 0.6, 0.6: 0.7}) == 0.8
    assert rules.threshold({0.95: 0.0, 0.9: 0.0, 0.8: 0.0, 0.7: 0.1, 0.6: 0.2}) == 0.6


def test_confidence_is_asked_of_the_classes_not_of_the_background():
    ids, confidence = np.repeat([0, 1, 2], [900, 99, 1]), np.repeat([0.99, 0.65, 0.1], [900, 99, 1])
    kept = confident.kept_of_a_class(ids, confidence)
    assert kept[0.95] == kept[0.7] == pytest.approx(1 / 3) and kept[0.6] == pytest.approx(2 / 3)
    assert rules.threshold(kept) == 0.6  # of all pixels 90 % reach 0.95


def gray(root, depth=np.uint16):
    """Six images of one channel, four with masks, no val; a small square of class 1."""
    for i in range(6):
        values = np.random.default_rng(i).integers(1000, 3000, (40, 60))
        values[8:16, 10:18] += 1500
        (root / 'images').mkdir(parents=True, exist_ok=True)
        image = values.astype(np.uint16) if depth == np.uint16 else (values // 20).astype(np.uint8)
        Image.fromarray(image).save(root / f'images/i{i}.png')
        if i < 4:
            label = np.zeros((40, 60), np.uint8)
            label[8:16, 10:18] = 255
            (root / 'masks').mkdir(exist_ok=True)
            Image.fromarray(label).save(root / f'masks/i{i}.png')
    return root


def test_the_fingerprint_of_gray_images_of_16_bits(tmp_path, monkeypatch):
    monkeypatch.setenv('S4MIM_WEIGHTS', str(tmp_path / 'none'))
    config = base()
    config.data.name, config.data.dir = 'folder', str(gray(tmp_path / 'set'))
    found = fingerprint.take(config)
    assert (found.labelled, found.unlabelled, found.val, found.held_out) == (3, 2, 1, 1)
    assert found.label_map == '0:0,255:1' and found.classes == ('class_0', 'class_1')
    assert found.pixels.channels == 1 and found.size == (40, 60)
    low, high = found.pixels.value_range
    assert 900 <= low <= 1010 and 4200 <= high <= 4600
    assert found.objects[1] == pytest.approx(8 / 40) and found.shares[1] == pytest.approx(64 / 2400)
    assert 0 < found.pixels.mean[0] < 1 and found.platform == 'cpu' and found.memory > 2**28


@pytest.mark.parametrize(('listed', 'expected'), [
    ('0 ground\n1 square\n', '0:0,255:1'), ('0 ground\n1 square\n255 void\n', None), ('0 a\n1 b\n2 c\n', None)])
def test_masks_of_0_and_255_beside_a_list_of_two_classes(tmp_path, listed, expected):
    folder = gray(tmp_path / 'set')
    (folder / 'classes.txt').write_text(listed)
    config = base()
    config.data.name, config.data.dir = 'folder', str(folder)
    assert fingerprint._label_map(config.data) == expected


def test_gray_images_of_8_bits_need_no_range(tmp_path):
    config = base()
    config.data.name, config.data.dir = 'folder', str(gray(tmp_path / 'set', np.uint8))
    assert fingerprint.take(config).pixels.value_range is None


def test_the_proposal_is_a_config_file_that_train_takes(tmp_path):
    folder = write_folder(tmp_path / 'set')
    proposal = propose(folder, [('data.split', 'seeded:1/2'), ('total_steps', '7')])
    path = proposal.write(tmp_path)
    config = load_config(f'{path}', [])
    validate(config)
    assert config.to_dict() == proposal.config().to_dict()
    assert config.data.dir == str(folder) and config.data.split == 'seeded:1/2' and config.total_steps == 7
    assert load_config(f'{path}:unimatch', []).method.name == 'unimatch'
    lines = path.read_text().splitlines()
    assert all('#' in line for line in lines if line.startswith('    config.') and 'compose' not in line
               and 'data.name' not in line and 'data.dir' not in line)


def test_the_config_auto_is_the_proposal_for_train(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / 'set')
    monkeypatch.setattr('s4mim_jax.fitting.automatic.measure', lambda config: Timing(0.5, 10.0))
    overrides = [('data.dir', str(folder)), ('eval.every', '9'), ('model.encoder', 'resnet34')]
    config = load_config('configs/auto.py:unimatch,minutes=10,split=seeded:1/2,tau=0.7', overrides)
    validate(config)
    assert config.method.name == 'unimatch' and config.method.tau == 0.7 and config.data.split == 'seeded:1/2'
    assert config.total_steps == int((600 - 30) / (0.5 * rules.RELATIVE_STEP['unimatch']))
    assert config.eval.every == 9 and config.model.encoder == 'resnet34' and config.model.pretrained is None
    assert load_config('configs/auto.py', overrides).method.name == 'supervised'  # every image has a mask
    with pytest.raises(InputError, match='--config.data.dir=FOLDER'):
        load_config('configs/auto.py:unimatch', [])
    with pytest.raises(InputError, match='minutes=soon'):
        load_config('configs/auto.py:minutes=soon', overrides)


def test_a_dataset_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match='no such folder'):
        propose(tmp_path / 'missing')
    write_image(tmp_path / 'bare/images/a.jpg')
    with pytest.raises(InputError, match='no mask that would tell'):
        propose(tmp_path / 'bare')
    write_mask(tmp_path / 'bare/masks/a.png', (0, 1))
    with pytest.raises(InputError, match='at least two'):
        propose(tmp_path / 'bare')
    with pytest.raises(InputError, match='--minutes=0'):
        pipeline.run(tmp_path / 'bare', tmp_path / 'out', 0)
    with pytest.raises(InputError, match='lies in the dataset'):
        pipeline.run(tmp_path / 'bare', tmp_path / 'bare/fit', 5)
    assert not (tmp_path / 'bare/fit').exists() and not (tmp_path / 'out').exists()


def test_the_plan_alone(tmp_path, monkeypatch):
    monkeypatch.setenv('S4MIM_WEIGHTS', str(tmp_path / 'none'))
    monkeypatch.setattr(pipeline, 'measure', lambda config: Timing(0.5, 10.0))
    folder, said = gray(tmp_path / 'set'), []
    state = pipeline.run(folder, tmp_path / 'run', 30, plan_only=True, say=said.append)
    assert state == json.loads((tmp_path / 'run/fit.json').read_text()) and (tmp_path / 'run/config.py').exists()
    assert any('data.value_range' in line for line in said) and not (tmp_path / 'run/labelled_only').exists()
    assert pipeline.run(folder, tmp_path / 'run', 30, plan_only=True, say=said.append) == state
    assert said[-1].startswith('going on')


def test_it_is_called_as_a_function_or_as_a_command():
    assert callable(s4mim_jax.fit)
    importlib.import_module('s4mim_jax.fit')  # hides the function of the package
    assert callable(s4mim_jax.fit)


@pytest.mark.slow
def test_the_whole_way(tmp_path, monkeypatch, capsys):
    """Plan, two trainings, scores, pseudo-labels and the page; a second call finds everything done."""
    monkeypatch.setenv('S4MIM_WEIGHTS', str(tmp_path / 'none'))
    monkeypatch.setattr(rules, 'FEWEST_METHOD_STEPS', 1)
    monkeypatch.setattr(rules, 'CALIBRATION_STEPS', 4)
    monkeypatch.setattr(rules, 'METHOD_STEPS', 4)
    folder = gray(tmp_path / 'set')
    tiny_network.replace(monkeypatch)
    small = {'model.encoder': 'resnet34', 'model.output_stride': 8, 'model.aspp_rates': (1,)}
    predictor = s4mim_jax.fit(folder, tmp_path / 'run', minutes=20, **small)
    state = json.loads((tmp_path / 'run/fit.json').read_text())
    assert set(state['scores']) == {'labelled_only', 'fixmatch_ema'} and state['method_steps'] == 4
    assert predictor(np.zeros((40, 60, 1), np.uint16)).shape == (40, 60)
    masks = sorted(p.name for p in (tmp_path / 'run/predictions').glob('i?.png'))
    assert masks == ['i4.png', 'i5.png'] and (tmp_path / 'run/predictions/correct.html').exists()
    page = (tmp_path / 'run/index.html').read_text()
    assert 'data.value_range' in page and 'The plan, and why' in page and 'optimistic' in page
    capsys.readouterr()
    s4mim_jax.fit(folder, tmp_path / 'run', minutes=20)
    assert capsys.readouterr().out.count('nothing to do') == 2


def test_a_step_that_is_too_large_is_cut(monkeypatch):
    sizes = iter((60e9, 30e9, 7e9))
    monkeypatch.setattr('s4mim_jax.planning.hardware.step_bytes', lambda config, classes: next(sizes))
    proposal = Proposal(CAMVID, rules.decide(CAMVID), method='fixmatch_ema')
    fit_memory(proposal)
    assert proposal.config().batch.accumulate == 4 and '55.9 GiB at once' in ' '.join(proposal.lines())
