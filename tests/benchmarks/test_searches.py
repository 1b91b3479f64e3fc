"""benchmarks/searches.py: what a run set is told in full, and nothing else; runs that stopped early are left out."""

import json
import sys
from pathlib import Path

import pytest

from s4mim_jax.config.command_line import load_config

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))
import searches  # noqa: E402

SHAPES = str(ROOT / 'configs' / 'shapes.py')


def folder(path, method, overrides, scores=((50, 0.2), (100, 0.3)), test=None):
    """A run folder as far as searches.py reads it."""
    config = load_config(f'{SHAPES}:{method}', [('total_steps', '100'), *overrides])
    (path / 'eval').mkdir(parents=True)
    (path / 'config.json').write_text(config.to_json())
    (path / 'run.json').write_text(json.dumps({'git': 'a' * 40}))
    lines = [{'step': 100, 'split': 'train', 'loss': 1.0}]
    lines += [{'step': step, 'split': 'val', 'miou': score} for step, score in scores]
    (path / 'metrics.jsonl').write_text('\n'.join(json.dumps(line) for line in lines))
    if test is not None:
        (path / 'eval' / 'test-best-teacher.json').write_text(json.dumps({'miou': test}))
    return path


def test_what_a_run_set_is_told_in_full(tmp_path):
    begun = folder(tmp_path / 'begin', 'supervised', [('seed', '3')])
    run = folder(tmp_path / 'group' / 'mine', 's4mc', [
        ('seed', '3'), ('data.crop', '(64, 64)'), ('method.selection.decay', '0.5'), ('log.images', '0'),
        ('data.dir', '/somewhere'), ('model.pretrained', str(begun))], test=0.25)
    entry = searches.read(run, SHAPES)
    assert entry['set'] == {'total_steps': 100, 'data.crop': [64, 64], 'method.selection.decay': 0.5}
    assert (entry['group'], entry['run'], entry['method'], entry['seed']) == ('group', 'mine', 's4mc', 3)
    assert entry['begin'] == 'supervised, 100 steps, seed 3'
    assert entry['val'] == [[50, 0.2], [100, 0.3]] and entry['test'] == {'test-best-teacher': 0.25}
    assert str(tmp_path) not in json.dumps(entry)


def test_a_run_that_stopped_early_is_left_out(tmp_path, monkeypatch, capsys):
    whole = folder(tmp_path / 'group' / 'whole', 'fixmatch', [])
    half = folder(tmp_path / 'group' / 'half', 'fixmatch', [], scores=[(50, 0.2)])
    output = tmp_path / 'searches'
    monkeypatch.setattr(sys, 'argv', ['searches.py', f'--config={SHAPES}', f'--output={output}', str(whole), str(half)])
    searches.main()
    assert [entry['run'] for entry in json.loads(output.with_suffix('.json').read_text())] == ['whole']
    assert f'{half}: not at its last step' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', [*sys.argv[:3], str(half)])
    with pytest.raises(SystemExit, match='no run is complete'):
        searches.main()
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--stopped'])
    searches.main()
    assert '| 0.200 (50) | 0.200 (stopped at 50 of 100) |' in output.with_suffix('.md').read_text()


def test_a_folder_that_is_no_run_ends_with_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['searches.py', f'--output={tmp_path}/searches', str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        searches.main()
    assert ended.value.code == 2 and f'{tmp_path}: no config.json' in capsys.readouterr().err


def test_pretrained_weights_are_named_by_their_file(tmp_path):
    weights = tmp_path / 'network.safetensors'
    weights.write_bytes(b'')
    run = folder(tmp_path / 'group' / 'run', 'fixmatch', [('model.pretrained', str(weights))])
    assert searches.read(run, SHAPES)['begin'] == 'network.safetensors'


def test_settings_that_runs_share_are_told_once_above_their_table(tmp_path):
    entries = [searches.read(folder(tmp_path / group / name, 'fixmatch', [('method.tau', tau)], test=test), SHAPES)
               for group, name, tau, test in (('a', 'low', '0.5', None), ('a', 'high', '0.8', 0.123),
                                              ('b', 'alone', '0.8', None))]
    first, second = searches.table(entries).split('## b')
    assert 'Runs: 2. Set in all of them: `total_steps=100`.' in first
    assert '| low | `fixmatch` | 0 | `method.tau=0.5` | - | 0.300 (100) | 0.300 | - | - | aaaaaaa |' in first
    assert '| high | `fixmatch` | 0 | `method.tau=0.8` | - | 0.300 (100) | 0.300 | 0.123 | - | aaaaaaa |' in first
    assert 'Runs: 1. Set in all of them: `method.tau=0.8`, `total_steps=100`.' in second


def test_new_runs_stand_beside_their_group_and_replace_their_own_name():
    entry = lambda group, run, seed: {'group': group, 'run': run, 'seed': seed}
    there = [entry('a', 'one', 0), entry('b', 'two', 0), entry('a', 'three', 0)]
    found = searches.added(there, [entry('c', 'four', 1), entry('a', 'five', 1), entry('b', 'two', 1)])
    assert [tuple(e.values()) for e in found] == [
        ('a', 'one', 0), ('a', 'three', 0), ('a', 'five', 1), ('b', 'two', 1), ('c', 'four', 1)]


def test_the_committed_tables_are_those_of_the_committed_runs():
    found = sorted((ROOT / 'benchmarks' / 'results').rglob('searches*.json'))
    assert {'searches.json', 'searches_camvid.json'} <= {path.name for path in found}
    for results in found:
        entries = json.loads(results.read_text())
        assert results.with_suffix('.md').read_text() == searches.table(entries)
        assert all(entry['git'] for entry in entries)
