"""What `fit` reaches beside the configs set by hand: the page has the table of the committed outcomes."""

import json
import sys
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))
import fit as outcomes  # noqa: E402

COMMITTED = json.loads((outcomes.RESULTS / 'fit.json').read_text())


def test_the_command_prints_the_table_of_the_page(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['fit.py'])
    outcomes.main()
    assert pages.between('fit') == capsys.readouterr().out


@pytest.mark.parametrize('result', COMMITTED, ids=lambda result: result['dataset'])
def test_both_were_scored_on_the_same_images(result):
    best, hand = result['networks'][result['predicts']], result['hand']
    assert best['images'] == hand['images'] and 0 < hand['miou'] < 1 and 0 < best['miou'] < 1
    assert hand['config'] == outcomes.HAND[result['dataset']][0]
    assert not any(str(value).startswith('/') for _, value in result['set'])  # data by name


# The evidence on `shapes` may be measured anew after a fit; `gray` has its own run beside it.
@pytest.mark.parametrize('dataset', [r['dataset'] for r in COMMITTED if r['dataset'] not in ('shapes', 'gray')])
def test_what_was_set_by_hand_is_that_of_the_committed_results(dataset):
    result = next(r for r in COMMITTED if r['dataset'] == dataset)
    assert result['hand'] == outcomes.by_hand(dataset, None)


def test_a_mean_over_some_classes_leaves_absent_ones_out():
    result = {'iou': {'a': 0.5, 'b': None, 'c': 0.1, 'd': 0.9}}
    assert outcomes.mean(result, None) == pytest.approx(0.5)
    assert outcomes.mean(result, ('a', 'b', 'd')) == pytest.approx(0.7)
