"""Texts in the encodings of the world: lists, class names, names of files, and a terminal that knows ASCII alone."""

import json
import os
import subprocess
import sys

import pytest
from dataset_trees import data_config, write_folder, write_image, write_lists, write_mask

from s4mim_jax.config.errors import InputError, unforeseen
from s4mim_jax.data import open_source, training_split
from s4mim_jax.data.classes import read_classes
from s4mim_jax.data.files.text import read_lines

ENCODINGS = ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32')


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_lines(tmp_path, encoding, end):
    lines = ['train00', 'a\x0bb \x85 c', 'Straße']  # a vertical tab and NEL end no line
    (tmp_path / 'a.txt').write_bytes(end.join([*lines, '']).encode(encoding))
    assert read_lines(tmp_path / 'a.txt') == lines
    (tmp_path / 'a.txt').write_bytes(end.join(lines).encode(encoding))
    assert read_lines(tmp_path / 'a.txt') == lines


def test_other_encodings_name_file_line_and_byte(tmp_path):
    (tmp_path / 'a.txt').write_bytes('x\nStraße\n'.encode('latin-1'))
    with pytest.raises(InputError, match='a.txt: is not UTF-8: byte 0xdf in line 2\nvalid: UTF-8, or UTF-16'):
        read_lines(tmp_path / 'a.txt')
    (tmp_path / 'a.txt').write_bytes(b'\xff\xfea')
    with pytest.raises(InputError, match='a.txt: is not UTF-16'):
        read_lines(tmp_path / 'a.txt')
    with pytest.raises(InputError, match='none.txt: cannot be read'):
        read_lines(tmp_path / 'none.txt')


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_lists_and_classes(tmp_path, encoding):
    root = write_folder(tmp_path)
    write_lists(root, 'x', [], [])
    (root / 'splits/x_labeled.txt').write_bytes('t0\r\nt1\r\n'.encode(encoding))
    (root / 'splits/x_unlabeled.txt').write_bytes('t2'.encode(encoding))
    (root / 'classes.txt').write_bytes('0 Straße 1 2 3\r\n1 Gehweg\r\n2 Grün\r\n255 void\r\n'.encode(encoding))
    source = open_source(data_config('folder', root))
    assert source.classes == ('Straße', 'Gehweg', 'Grün') and source.palette[0].tolist() == [1, 2, 3]
    assert [s.id for s in training_split(source, 'x', 0).labeled] == ['t0', 't1']


def test_classes_in_latin_1_are_refused_in_one_message(tmp_path):
    (tmp_path / 'classes.txt').write_bytes('0 a\n1 Grün\n'.encode('latin-1'))
    with pytest.raises(InputError, match='classes.txt: is not UTF-8: byte 0xfc in line 2'):
        read_classes(tmp_path / 'classes.txt')


def test_a_latin_1_list_is_read_where_its_names_are_there(tmp_path):
    root = write_folder(tmp_path)
    write_image(root / 'images/train/Straße.jpg', seed=9)
    write_mask(root / 'masks/train/Straße.png', [0, 1])
    write_lists(root, 'x', [], ['t2'])
    (root / 'splits/x_labeled.txt').write_bytes('Straße\r\n'.encode('latin-1'))
    source = open_source(data_config('folder', root))
    assert [s.id for s in training_split(source, 'x', 0).labeled] == ['Straße']
    (root / 'splits/x_labeled.txt').write_bytes('t0\nGröße\r\n'.encode('latin-1'))
    with pytest.raises(InputError, match=r"x_labeled.txt: line 2 is not UTF-8 .*'Größe'"):
        training_split(source, 'x', 0)


def test_file_names_that_are_no_utf_8(tmp_path):
    """As old archives unpack them: listed, split, hashed and checked like others."""
    root = write_folder(tmp_path)
    name = os.fsdecode('gr\xfcn'.encode('latin-1'))
    for kind, suffix in (('images', 'jpg'), ('masks', 'png')):
        os.rename(root / kind / f'train/t0.{suffix}', root / kind / f'train/{name}.{suffix}')
    write_lists(root, 'x', [], ['t2'])
    (root / 'splits/x_labeled.txt').write_bytes(b't1\n' + os.fsencode(name) + b'\n')  # ls > list
    source = open_source(data_config('folder', root))
    split = training_split(source, 'x', 0)
    assert [s.id for s in split.labeled] == sorted([name, 't1']) and len(split.hash) == 64
    assert len(training_split(source, 'seeded:1/2', 0).labeled) == 3
    done = check(root, tmp_path / 'out', 'ascii', '--config.data.split=x')
    assert done.returncode == 0 and 'Traceback' not in done.stderr, done.stderr
    assert json.loads((tmp_path / 'out/check.json').read_text())['groups']['labeled']['masks'] == 2


def check(root, output, encoding, *arguments):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONIOENCODING': encoding}
    return subprocess.run([sys.executable, '-m', 's4mim_jax.data.check', '--config=configs/folder.py:supervised',
                           f'--config.data.dir={root}', f'--output={output}', *arguments], env=environment, text=True,
                          capture_output=True, timeout=300, encoding='utf-8', errors='surrogateescape')


def test_an_ascii_terminal(tmp_path):
    root = write_folder(tmp_path / 'größe')
    (root / 'classes.txt').write_text('0 Straße\n1 草\n2 été\n')
    done = check(root, tmp_path / 'out', 'ascii', '--nodecode')
    assert done.returncode == 0 and done.stderr == '' and 'gr\\xf6\\xdfe' in done.stdout
    found = json.loads((tmp_path / 'out/check.json').read_text())
    assert found['classes'] == ['Straße', '草', 'été']


def test_what_nobody_has_foreseen_is_one_line_and_a_file(tmp_path):
    try:
        raise KeyError('a key\nof two lines ü')
    except KeyError as error:
        line, remote = unforeseen(error, str(tmp_path)), unforeseen(error, 'gs://bucket/run')
    (log,) = tmp_path.glob('error-*.log')
    assert line == f"KeyError: 'a key\\nof two lines ü' (unforeseen; the traceback is in {log})"
    text = log.read_text()
    assert 'Traceback' in text and 'test_what_nobody_has_foreseen' in text
    assert '\n' not in line and 'the traceback is in /' in remote


def test_command_lines_print_no_traceback(tmp_path):
    program = ('import sys\nfrom s4mim_jax.config import command_line\nfrom absl import flags\n'
               'flags.DEFINE_string("workdir", None, "")\n'
               'def main(*a):\n    exec(sys.stdin.read())\ncommand_line.run(main)')

    def run(text):
        return subprocess.run([sys.executable, '-c', program, f'--workdir={tmp_path}'], input=text, text=True,
                              capture_output=True, timeout=120)

    done = run('[][1]')
    assert done.returncode == 1 and done.stdout == '' and done.stderr.count('\n') == 1
    assert done.stderr.startswith('error: IndexError: list index out of range (unforeseen; the traceback is in ')
    assert len(list(tmp_path.glob('error-*.log'))) == 1
    done = run('raise KeyboardInterrupt')
    assert (done.returncode, done.stderr) == (130, 'error: interrupted\n')
    done = run('raise BrokenPipeError')
    assert (done.returncode, done.stderr) == (1, '')
