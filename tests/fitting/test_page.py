"""The page at the end of a fit: what it says first, and what to do next."""

from pathlib import Path

from s4mim_jax.fitting import page
from s4mim_jax.reporting.page import Section, write


def state(scores, **changes):
    best = max(scores, key=lambda name: scores[name]['val'])
    return {'scores': scores, 'best': best, 'proposed': 'fixmatch_ema', 'method': 'supervised'} | changes


def test_the_verdict_names_the_gain_and_its_size():
    scores = {'labelled_only': {'val': 0.4, 'test': 0.38}, 'fixmatch_ema': {'val': 0.45, 'test': 0.41}}
    said = page.verdict(state(scores))
    assert said.startswith('fixmatch_ema predicts: mIoU 41.0 % on test. fixmatch_ema, which learned from the')
    assert 'is 3.0 points above labelled-only on test' in said and 'optimistic' not in said
    said = page.verdict(state({'labelled_only': {'val': 0.4}, 'fixmatch_ema': {'val': 0.3}}))
    assert said.startswith('labelled_only predicts: mIoU 40.0 % on val.') and '10.0 points below' in said
    assert 'There is no test split' in said


def test_the_verdict_says_where_the_time_was_too_short():
    alone = {'labelled_only': {'val': 0.4}}
    assert 'more --minutes' in page.verdict(state(alone))
    assert 'more --minutes' not in page.verdict(state(alone, proposed='supervised'))


def test_links_and_commands_of_a_section(tmp_path):
    commands = page.commands(Path('my run'), state({'labelled_only': {'val': 0.4}}))
    section = Section('Next', links=[('to <correct>', 'predictions/a b.html')], commands=commands)
    html = write(tmp_path, 'Fit', 'lead', [], [section]).read_text()
    assert '<a href="predictions/a%20b.html">to &lt;correct&gt;</a>' in html
    assert '--workdir=my run/labelled_only --output=out IMAGES\n' in html and '<pre' in html
    text = (tmp_path / 'report.md').read_text()
    assert '](predictions/a%20b.html)' in text and '    python -m s4mim_jax.predict' in text
