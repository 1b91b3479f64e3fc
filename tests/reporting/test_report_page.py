"""The report as a page and as a command: self-contained, honest about what is missing, exit statuses."""

import base64
import html.parser
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import report_world
import tiny_run
from fork_server import QUICK_COMPILES
from PIL import Image
from report_world import PROTOCOL, groups_of, make, text

import s4mim_jax
from s4mim_jax import data
from s4mim_jax.config.errors import InputError
from s4mim_jax.report import make_report
from s4mim_jax.reporting import mosaic, predictions, run_files

ROOT = Path(__file__).resolve().parents[2]
world = report_world.world  # the fixture


class Reader(html.parser.HTMLParser):
    """Checks that tags close in order; keeps attributes and text."""

    VOID = {'meta', 'img', 'br', 'link', 'input'}

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ''

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_whole_and_self_contained(world, tmp_path):
    folder, _, test = world
    name = '<b>$x_1$ & "y|"</b>'
    make(folder / 'odd', name, 0, 0.25)
    page, problems = make_report([str(folder)], str(tmp_path / 'out' / 'deep'), images=0)
    assert page == tmp_path / 'out/deep/index.html' and problems == []
    source, reader = page.read_text(), Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == [] and name in reader.text and '<b>' not in source
    assert 'http' not in source and '@import' not in source and 'url(' not in source
    linked = [(tag, value) for tag, key, value in reader.attributes if key in ('src', 'href')]
    assert {tag for tag, _ in linked} == {'a', 'img'}
    assert all(value.startswith('#') for tag, value in linked if tag == 'a')
    files = sorted(page.parent.glob('*.png'))
    embedded = [base64.b64decode(value.removeprefix('data:image/png;base64,'))
                for tag, value in linked if tag == 'img']
    assert sorted(embedded) == sorted(file.read_bytes() for file in files)
    assert {file.stem for file in files} == {'scores', 'learning_curves', 'class_iou', 'pseudo_labels', 'losses',
                                             'pseudo_labels_kept', 'pseudo_labels_accuracy_kept'}
    for picture in embedded:
        assert min(Image.open(io.BytesIO(picture)).size) > 100
    summary = (page.parent / 'report.md').read_text()
    assert text(list(test['unimatch'].values())) in summary and text(list(test['unimatch'].values())) in reader.text
    table = [line for line in summary.splitlines() if line.startswith('|')]
    assert len({len(re.findall(r'(?<!\\)\|', line)) for line in table[:5]}) == 1  # the name's bar ends no cell


def test_what_must_be_known_is_said(tmp_path):
    make(tmp_path / 'a', 'supervised', total=900, test=0.5)
    make(tmp_path / 'b', 'unimatch', test=0.5, protocol={**PROTOCOL, 'mode': 'sliding'})
    folder, scores = make(tmp_path / 'c', 's4mc', test=0.5)
    file = folder / 'eval/test-best-teacher.json'
    stale = json.loads(file.read_text()) | {'step': (100, 200, 300)[int(np.argmin(scores))], 'images': 4}
    file.write_text(json.dumps(stale))
    with (tmp_path / 'b/metrics.jsonl').open('a') as lines:
        lines.write('{"step": 350, "spl')
    page, problems = make_report([str(tmp_path)], str(tmp_path / 'out'), images=0)
    source = page.read_text()
    assert problems == []
    for part in ('a is not finished: step 300 of 900', 'mode is sliding or whole', 'numbers of images: 4, 5',
                 'c: test-best-teacher is of step', 'half written'):
        assert part in source, part


@pytest.fixture(scope='module')
def real(tmp_path_factory):
    """Copies of a run with a checkpoint, under two seeds; the second lost its checkpoint."""
    workdir, config, _ = tiny_run.shared(tmp_path_factory)
    root = tmp_path_factory.mktemp('real')
    for name, method, seed in (('one', 'unimatch_v2', 0), ('two', 'fixmatch', 1)):
        shutil.copytree(workdir, root / name, ignore=shutil.ignore_patterns('eval'))
        stored = json.loads((root / name / 'config.json').read_text())
        stored['seed'], stored['method']['name'] = seed, method
        (root / name / 'config.json').write_text(json.dumps(stored))
    shutil.rmtree(root / 'two/checkpoints')
    return root, config


def test_predictions_are_those_of_the_run(real):
    root, config = real
    groups, _ = groups_of(root)
    (gallery,), notes = predictions.predict(groups, 3, say=lambda line: None)
    source = data.open_source(config.data)
    samples = source.splits['val']
    assert gallery.split == 'val' and gallery.ids == [samples[i].id for i in (0, 1, 3)]
    predictor = s4mim_jax.load(root / 'one')
    expected = predictor([np.asarray(Image.open(samples[i].image)) for i in (0, 1, 3)])
    (group, about, found), = gallery.predictions
    assert (group.name, about) == ('unimatch_v2', 'seed 0, teacher of step 3')
    for mine, wanted, label, i in zip(found, expected, gallery.labels, (0, 1, 3)):
        np.testing.assert_array_equal(mine, wanted)
        np.testing.assert_array_equal(label, np.asarray(Image.open(samples[i].mask)))
    assert len(notes) == 1 and 'fixmatch is not shown' in notes[0] and 'checkpoints' in notes[0]


def test_report_of_a_real_run(real, tmp_path, capsys):
    page, problems = make_report([str(real[0] / 'one')], str(tmp_path / 'out'), images=2)
    assert problems == [] and (tmp_path / 'out/predictions.png').stat().st_size > 5000
    assert 'nothing logged yet' in page.read_text() and 'predicting with unimatch_v2 (1/1)' in capsys.readouterr().out
    page, _ = make_report([str(real[0] / 'one')], str(tmp_path / 'out2'), 2, [('data.dir', '/missing/place')])
    assert '/missing/place: no such folder' in page.read_text()
    assert not (tmp_path / 'out2/predictions.png').exists()


def test_predictions_are_painted_below_their_names(monkeypatch):
    """Two images of 2 x 3 pixels, classes 0 and 1 and an ignored pixel; six groups make a second picture."""
    figures = []
    monkeypatch.setattr(mosaic, 'png', lambda figure: figures.append(figure) or b'png')
    images = [np.arange(18, dtype=np.uint8).reshape(2, 3, 3), np.full((2, 3, 3), 7, np.uint8)]
    labels = [np.array([[0, 1, 255], [1, 1, 0]], np.uint8), np.zeros((2, 3), np.uint8)]
    found = [[np.full((2, 3), number % 2, np.uint8), labels[0]] for number in range(6)]
    palette = np.array([[255, 255, 255], [10, 20, 30]], np.uint8)  # a white class: ignored pixels are another colour
    gallery = predictions.Gallery('folder', 'val', ['a', 'b'], images, labels, ('road', 'sky'), palette, [
        (SimpleNamespace(name=f'method{number}'), f'seed {number}', found[number]) for number in range(6)])
    pictures = mosaic.gallery_pictures([gallery])
    assert [picture.name for picture in pictures] == ['predictions', 'predictions_2']
    assert 'folder, val' in pictures[0].title and 'a, b' in pictures[0].caption

    first, second = ([list(figure.axes[row * count:(row + 1) * count]) for row in range(2)]
                     for figure, count in zip(figures, (7, 3)))
    assert [axes.get_title() for axes in first[0]] == ['input', 'label', *(f'method{n}' for n in range(5))]
    assert [axes.get_title() for axes in second[0]] == ['input', 'label', 'method5']
    assert [axes.get_xlabel() for axes in first[1]] == ['', '', *(f'seed {n}' for n in range(5))]
    painted = lambda axes: np.asarray(axes.images[0].get_array())
    white, blue, void = [255, 255, 255], [10, 20, 30], [128, 128, 128]
    for row in range(2):
        np.testing.assert_array_equal(painted(first[row][0]), images[row])
    np.testing.assert_array_equal(painted(first[0][1]), [[white, blue, void], [blue, blue, white]])
    np.testing.assert_array_equal(painted(first[1][1]), np.full((2, 3, 3), 255))
    for number in range(5):
        np.testing.assert_array_equal(painted(first[0][2 + number]), [[(white, blue)[number % 2]] * 3] * 2)
        np.testing.assert_array_equal(painted(first[1][2 + number]), painted(first[0][1]))
    np.testing.assert_array_equal(painted(second[0][2]), [[blue] * 3] * 2)
    legend, = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ['road', 'sky', 'ignored']
    assert [tuple(np.multiply(patch.get_facecolor()[:3], 255).round()) for patch in legend.get_patches()] == [
        tuple(white), tuple(blue), tuple(void)]


def command(*arguments):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.report', *map(str, arguments)], cwd=ROOT, text=True,
                          env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES},
                          capture_output=True, timeout=300)


def test_command_line_and_exit_statuses(world, tmp_path):
    folder, _, _ = world
    done = command(folder, f'--output={tmp_path / "out"}', '--images=0')
    assert done.returncode == 0, done.stderr
    assert '6 runs in 2 groups' in done.stdout and str(tmp_path / 'out/index.html') in done.stdout
    bad, _ = make(folder / 'bad', 's4mc')
    rows = (bad / 'metrics.jsonl').read_text().splitlines()
    (bad / 'metrics.jsonl').write_text('\n'.join([rows[0], '{"step": 1', *rows[1:]]) + '\n')
    done = command(folder, f'--output={tmp_path / "out"}', '--images=0')
    assert done.returncode == 1 and f'left out: {bad}/metrics.jsonl, line 2' in done.stderr
    assert '6 runs' in done.stdout and f'{bad}/metrics.jsonl, line 2' in (tmp_path / 'out/index.html').read_text()
    for arguments, message in (((bad, '--output=out'), 'line 2'), ((folder,), '--output is missing'),
                               (('--output=out',), 'no folder'),
                               ((folder, '--output=out', '--images=-1'), '--images=-1'),
                               ((folder, '--output=out', '--config.seed=1'), 'valid: --config.data.dir')):
        done = command(*arguments)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2 and message in done.stderr and len(lines) <= 3, done.stderr
        assert 'Traceback' not in done.stderr and not (ROOT / 'out').exists()


def test_bad_folders(world, tmp_path):
    folder, _, _ = world
    with pytest.raises(InputError, match='missing: no such folder'):
        make_report([str(tmp_path / 'missing')], str(tmp_path / 'out'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty: no run found.*metrics.jsonl'):
        make_report([str(tmp_path / 'empty')], str(tmp_path / 'out'))
    _, problems = make_report([str(folder), str(tmp_path / 'empty')], str(tmp_path / 'out'), images=0)
    assert len(problems) == 1 and 'empty' in problems[0]
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match=f'--output={tmp_path}/file/x cannot be written'):
        make_report([str(folder)], str(tmp_path / 'file/x'), images=0)
    assert len(run_files.find_runs([str(tmp_path)])[0]) == 6  # runs/METHOD/SEED is three levels deep
    make(tmp_path / 'a/b/c/d', 'unimatch', 0)
    assert len(run_files.find_runs([str(tmp_path)])[0]) == 6


@pytest.mark.parametrize('file, content, message', [
    ('config.json', '{"seed": 0', 'config.json: not valid JSON'),
    ('config.json', '{"seed": 0}', 'no key method.name'),
    ('config.json', None, 'config.json: cannot be read'),
    ('run.json', '[]', 'a JSON list where an object'),
    ('run.json', '{}', 'no classes or no split'),
    ('metrics.jsonl', '{"split": "val"}\n', 'line 1.*no .step.'),
    ('metrics.jsonl', '3\n', 'line 1'),
])
def test_broken_runs(tmp_path, file, content, message):
    path, _ = make(tmp_path / 'run')
    (path / file).unlink()
    if content is not None:
        (path / file).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        run_files.read_run(path)
    assert len(str(caught.value).splitlines()) <= 3


def test_broken_results_are_left_out(tmp_path):
    path, _ = make(tmp_path / 'run', test=0.5)
    (path / 'eval/test-best-teacher.json').write_text('{"miou": NaN, "iou": {}}')
    (path / 'cost.json').write_text('{')
    run, problems = run_files.read_run(path)
    assert run.test is None and run.cost == {} and len(problems) == 2
    assert 'no miou' in problems[0] and 'cost.json: not valid JSON' in problems[1]
    shutil.copy(make(tmp_path / 'other', test=0.25, file='test')[0] / 'eval/test.json', path / 'eval')
    run, _ = run_files.read_run(path)
    assert run.test.values['miou'] == 0.25 and run.test.checkpoint.startswith('step ')


def test_jax_comes_with_predictions_only(world, tmp_path):
    code = (f'import sys; from s4mim_jax.report import make_report; make_report([{str(world[0])!r}], '
            f'{str(tmp_path / "out")!r}, images=0); print(sorted({{"jax", "tensorflow"}} & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True,
                          timeout=300)
    assert done.stdout.endswith('[]\n')
