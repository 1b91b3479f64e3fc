"""Away from the checkout: configs and methods found from anywhere, and a wheel that works in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fork_server import QUICK_COMPILES
from PIL import Image

from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
OWN = '''
from s4mim_jax.config import base, compose

def get_config(argument=None):
    config = base()
    config.data.name = 'folder'
    config.total_steps = 77
    return compose(config, argument, __file__)
'''


def test_a_config_file_of_ones_own_finds_the_methods(tmp_path):
    (tmp_path / 'gland.py').write_text(OWN)
    config = load_config(f'{tmp_path}/gland.py:fixmatch+maskmatch', [])
    assert config.method.name == 'fixmatch+maskmatch' and config.total_steps == 77
    assert config.method.masked_consistency > 0


def test_a_method_of_ones_own_lies_beside_it(tmp_path):
    (tmp_path / 'gland.py').write_text(OWN)
    (tmp_path / 'methods').mkdir()
    (tmp_path / 'methods/mine.py').write_text('def apply(config):\n    config.method.tau = 0.123\n')
    (tmp_path / 'methods/fixmatch.py').write_text('def apply(config):\n    config.method.tau = 0.456\n')
    assert load_config(f'{tmp_path}/gland.py:mine', []).method.tau == 0.123
    assert load_config(f'{tmp_path}/gland.py:fixmatch', []).method.tau == 0.456  # hides the one of the package
    with pytest.raises(InputError, match='(?s)unknown method .unimtch.*mine.*unimatch'):
        load_config(f'{tmp_path}/gland.py:unimtch', [])


@pytest.mark.parametrize('name', ['configs/camvid.py', 'camvid.py', 'camvid'])
def test_configs_of_the_package_are_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(f'{name}:fixmatch_ema', []).data.name == 'camvid'
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/camvid.py').write_text(OWN)  # a file that is there is the one that is meant
    assert (load_config(f'{name}:fixmatch_ema', []).total_steps == 77) == (name == 'configs/camvid.py')


@pytest.mark.parametrize('name', ['configs/camvod.py', 'mine/camvid.py', 'configs/methods/fixmatch.py'])
def test_a_config_that_is_nowhere_is_refused_with_what_there_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match='(?s)no file.*configs/camvid.py, .*configs/voc.py'):
        load_config(f'{name}:fixmatch', [])


def test_the_package_itself_lists_its_commands():
    run = lambda *a: subprocess.run([sys.executable, '-m', 's4mim_jax', *a], cwd=ROOT, capture_output=True, text=True,
                                    timeout=120, check=False)
    listed = run()
    assert listed.returncode == 0
    assert all(f'\n  {name} ' in listed.stdout for name in ('train', 'predict', 'data.check'))
    wrong = run('trian')
    assert wrong.returncode == 2 and "no command 'trian'" in wrong.stderr and 'train' in wrong.stderr
    inner = run('convert_labels', 'nowhere', '--output=x')
    assert inner.returncode == 2 and inner.stderr.startswith('error: nowhere: no such folder')


@pytest.mark.slow
def test_an_installed_wheel_in_an_empty_folder(tmp_path):
    """Quickstart, train, evaluate, predict, fit: nothing of the checkout is in reach."""
    wheels, installed, work = tmp_path / 'wheels', tmp_path / 'installed', tmp_path / 'work'
    work.mkdir()
    tree = tmp_path / 'tree'  # building writes beside the sources
    for name in ('s4mim_jax', 'configs'):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns('__pycache__'))
    for pattern in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'requirements*.txt'):
        for path in ROOT.glob(pattern):
            shutil.copy(path, tree)
    build = subprocess.run([sys.executable, '-m', 'pip', 'wheel', str(tree), '--no-deps', '--no-build-isolation', '-q',
                            '-w', str(wheels)], capture_output=True, text=True, timeout=300, check=False)
    assert build.returncode == 0, build.stderr
    (wheel,) = wheels.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / 'configs').rglob('*.py'):
        assert f's4mim_jax/configs/{path.relative_to(ROOT / "configs").as_posix()}' in names
    zipfile.ZipFile(wheel).extractall(installed)
    environment = {key: value for key, value in os.environ.items() if not key.startswith('S4MIM')}
    # `shapes` is drawn once, in the folder in which a quickstart of the checkout draws it.
    environment |= {'PYTHONPATH': str(installed), 'JAX_PLATFORMS': 'cpu', 'S4MIM_DATA': str(ROOT / 'data'),
                    'XLA_FLAGS': QUICK_COMPILES}

    def run(module, *arguments):
        done = subprocess.run([sys.executable, '-m', f's4mim_jax.{module}', *arguments], cwd=work, env=environment,
                              capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    small = ['--config.model.width=4', '--config.model.unet_widths=(4,4,4)', '--config.model.pretrained=None',
             '--config.batch.labeled=2', '--config.batch.unlabeled=2', '--config.log.images=1',
             '--config.data.crop=(32, 32)']
    where = subprocess.run([sys.executable, '-c', 'import s4mim_jax; print(s4mim_jax.__file__)'], cwd=work,
                           env=environment, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(installed))
    _quickstart(work / 'quick', run('quickstart', '--output=quick', '--steps=2', *small))
    run('train', '--config=configs/shapes.py:fixmatch_ema', '--workdir=run', '--config.total_steps=2', *small)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(work / 'photo.png')
    run('predict', '--workdir=run', '--output=out', 'photo.png')
    assert Image.open(work / 'out/photo.png').size == (50, 40)
    for i in range(4):
        for kind, channels in (('images', 3), ('masks', 1)):
            (work / 'mine' / kind).mkdir(parents=True, exist_ok=True)
            values = np.random.default_rng(i).integers(0, 2, (40, 50, channels), np.uint8)
            Image.fromarray((values * 200 if channels == 3 else values).squeeze()).save(work / f'mine/{kind}/i{i}.png')
    assert 'there is no val' in run('fit', 'mine', '--output=fitted', '--minutes=0.1', '--config.batch.labeled=2')
    assert (work / 'fitted/index.html').exists()


def _quickstart(out, printed):
    """Both runs are trained on the same split and scored, and their pictures and page are there."""
    runs = sorted(p.name for p in out.iterdir() if (p / 'run.json').exists())
    assert runs == ['fixmatch_ema', 'supervised']  # named by the method, without its settings
    records = [json.loads((out / run / 'run.json').read_text()) for run in runs]
    assert records[0]['split'] == records[1]['split']
    scores = {run: json.loads((out / run / 'eval' / 'test.json').read_text()) for run in runs}
    assert all(0 <= s['miou'] <= 1 and s['images'] == 256 and s['step'] == 2 for s in scores.values())
    table = printed[printed.rindex('test split of shapes'):]
    assert all(f'{s["miou"]:.4f}' in table for s in scores.values()) and 'gain' in table
    assert len(list((out / 'predictions').glob('*_overlay.jpg'))) == 8
    page = (out / 'report' / 'index.html').read_text()
    assert 'fixmatch_ema' in page and 'supervised' in page
    assert printed.rstrip().splitlines()[-1].startswith('your own images:  python -m s4mim_jax.fit FOLDER')
