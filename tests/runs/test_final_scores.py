"""Short runs: the EMA's half-life, a warning where hardly any pseudo-label is kept, and which network predicts."""

import shutil

import jax
import numpy as np
import pytest
import tiny
import tiny_run

from s4mim_jax.config.errors import InputError
from s4mim_jax.prediction.loading import load
from s4mim_jax.pseudo_labels import longest_decay
from s4mim_jax.runs import advice, final_scores
from s4mim_jax.runs.better_weights import FILE, preferred
from s4mim_jax.runs.run_folder import write_json


def test_the_half_life_is_at_most_a_tenth_of_the_run():
    assert longest_decay(0.996, 100_000, 0.1) == 0.996  # of 173 updates: long runs keep what they ask for
    decay = longest_decay(0.996, 200, 0.1)
    assert decay ** 20 == pytest.approx(0.5)
    assert longest_decay(0.5, 200, 0.1) == 0.5
    assert longest_decay(0.996, 200, 0.0) == 0.996


@pytest.mark.parametrize(('kept', 'completed', 'warmup', 'said'), [
    (0.04, 100, 0, False), (0.04, 300, 0, False), (0.04, 375, 0, False),
    (0.04, 474, 0, False),  # a part of what was logged lies before a quarter of the run
    (0.04, 475, 0, True), (0.04, 500, 0, True),
    (0.04, 500, 401, False), (0.04, 600, 401, True),
    (0.2, 500, 0, False), (None, 500, 0, False), (0.04, 1500, 1500, True)])
def test_few_kept_pixels_are_warned_about_once_the_network_is_no_beginner(kept, completed, warmup, said):
    config = tiny.config('fixmatch', total_steps=1500, log__every=100, optimizer__warmup_steps=warmup)
    line = advice.few_kept(config, completed, kept)
    assert bool(line) == said
    if said:
        assert '4 %' in line and 'method.tau=0.21' in line and len(line.splitlines()) <= 3


def test_no_warning_where_tau_decides_nothing():
    assert advice.few_kept(tiny.config('supervised'), 1000, 0.0) is None
    assert advice.few_kept(tiny.config('s4mc'), 1000, 0.0) is None


def test_the_better_of_student_and_teacher_predicts(tmp_path, tmp_path_factory):
    """The student's score is that of the best checkpoint, not of the last step."""
    run, config, state = tiny_run.shared(tmp_path_factory)
    workdir = shutil.copytree(run, tmp_path / 'run')
    seen = []

    def evaluate(variables):
        seen.append(variables)
        return {'miou': 0.6}

    found = final_scores.compare(workdir, config, tiny.CLASSES, {'best_miou': 0.5, 'best_step': 3}, evaluate)
    assert found == {'checkpoint': 'best', 'step': 3, 'split': 'val', 'miou': {'teacher': 0.5, 'student': 0.6},
                     'better': 'student'}
    leaf = lambda tree: np.asarray(jax.tree.leaves(tree['params'])[0])
    np.testing.assert_array_equal(leaf(seen[0]), leaf(state.variables('student')))
    assert load(workdir, weights='better').weights == 'teacher'  # nothing was compared when it ended
    write_json(workdir / FILE, found)
    assert preferred(workdir) == 'student' and preferred(workdir, 'latest') == 'teacher'
    assert load(workdir, weights='better').weights == 'student' and load(workdir).weights == 'teacher'
    equal = final_scores.compare(workdir, config, tiny.CLASSES, {'best_miou': 0.6, 'best_step': 3}, evaluate)
    assert equal['better'] == 'teacher'
    with pytest.raises(InputError, match='valid are teacher, student and better'):
        load(workdir, weights='best')
