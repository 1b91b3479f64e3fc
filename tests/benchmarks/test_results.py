"""The tables of CamVid say what the committed results say."""

import json
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).resolve().parents[2]


def rows(name):
    """Method without its settings -> the cells of its row in the table between <!-- name --> and <!-- /name -->."""
    return {method.strip('`').partition(',')[0]: scores for method, *scores in pages.rows(name)}


@pytest.mark.parametrize('table, results, steps', [
    ('camvid_1_16', 'camvid.json', 2500), ('camvid_1_8', 'camvid_1_8.json', 1000)])
def test_the_table_is_that_of_the_committed_runs(table, results, steps):
    runs = {run['method']: run for run in json.loads((ROOT / 'benchmarks' / 'results' / results).read_text())['runs']}
    shown = rows(table)
    assert set(shown) == set(runs) and len(runs) >= 7
    assert {run['total_steps'] for run in runs.values()} == {steps}
    assert {run['data']['split'] for run in runs.values()} == {table.removeprefix('camvid_')}
    short = lambda value: f'{value:.3f}'.removeprefix('0')
    for method, run in runs.items():
        scored = {name.removeprefix('test-'): scores for name, scores in run['evaluations'].items()}
        weights = 'teacher' if 'best-teacher' in scored else 'student'
        best, last = scored[f'best-{weights}'], scored[f'latest-{weights}']
        assert shown[method] == [short(best['miou']), short(last['miou']), short(best['pixel_accuracy'])], method


@pytest.mark.parametrize('results', ['camvid.json', 'camvid_1_8.json'])
def test_the_runs_of_a_table_differ_in_their_method_alone(results):
    first, *others = json.loads((ROOT / 'benchmarks' / 'results' / results).read_text())['runs']
    for run in others:
        assert (run['seed'], run['total_steps']) == (first['seed'], first['total_steps'])
        for part in ('data', 'model', 'batch', 'optimizer'):  # keys that a later version brought stand in later runs
            assert {key: run[part].get(key) for key in first[part]} == first[part], (run['method'], part)
