"""A run folder in an object store, on TensorFlow's in-memory store: no network, the same calls as for gs://.

Orbax writes arrays to disks and gs:// only, so the checkpoints themselves are not part of it.
"""

import json
import os
import sys
import types

import numpy as np
import pytest
from etils import epath
from etils.epath import backend, gpath, register

from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import run_folder, storage
from s4mim_jax.runs.checkpoints import Checkpoints
from s4mim_jax.runs.monitoring import Monitor


class ObjectStore(type(backend.tf_backend)):
    """TensorFlow's in-memory files, with the one difference to an object store taken away: opened for
    writing they keep what they hold."""

    def open(self, path, mode):
        if mode.startswith('w') and self.exists(path):
            self.remove(path)
        return super().open(path, mode)


@pytest.fixture
def ram(monkeypatch, request):
    """An empty folder ram://NAME, for which etils' path is taught the scheme as it knows gs://."""
    import tensorflow as tf

    from s4mim_jax.data import tensorflow_setup  # noqa: F401
    chosen = gpath.PosixGPath._backend.fget
    monkeypatch.setattr(gpath, '_URI_PREFIXES', (*gpath._URI_PREFIXES, 'ram://'))
    monkeypatch.setattr(gpath, '_URI_SCHEMES', gpath._URI_SCHEMES | {'ram'})
    monkeypatch.setitem(gpath._URI_MAP_ROOT, 'ram://', '/ram/')
    monkeypatch.setattr(gpath.PosixGPath, '_backend', property(
        lambda path: ObjectStore() if path._uri_scheme == 'ram' else chosen(path)))
    monkeypatch.setitem(register._URI_PREFIXES_TO_CLS, 'ram://', gpath.PosixGPath)
    folder = f'ram://{request.node.name}/runs/a'
    yield folder
    if tf.io.gfile.isdir(folder):
        tf.io.gfile.rmtree(folder)


def read(path):
    import tensorflow as tf
    with tf.io.gfile.GFile(str(path), 'rb') as file:
        return file.read()


def test_a_whole_run_folder_in_a_store(ram):
    import tensorflow as tf
    run_folder.check_writable(ram)
    assert not tf.io.gfile.exists(ram) and not Checkpoints.exist(ram)
    folder = run_folder.prepare(ram)
    assert str(folder) == ram and tf.io.gfile.isdir(ram)
    for text in ('1', '2'):
        run_folder.write_json(folder / 'config.json', {'seed': int(text)})
        assert json.loads(read(f'{ram}/config.json')) == {'seed': int(text)} == run_folder.read_json(
            f'{ram}/config.json')

    monitor = Monitor(folder, 0)
    for step in (2, 4, 6):
        monitor.scalars(step, 'train', {'loss': 1 / step})
        assert len(read(f'{ram}/metrics.jsonl').splitlines()) == step // 2, 'each line is there when it is written'
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    monitor.panel(6, 'labeled', picture)
    monitor.close()
    with tf.io.gfile.GFile(f'{ram}/metrics.jsonl', 'a') as file:
        file.write('{"step": 8, "spl')  # cut off

    monitor = Monitor(folder, 4)  # a resume
    monitor.scalars(6, 'train', {'loss': 0.5})
    monitor.close()
    lines = [json.loads(line) for line in read(f'{ram}/metrics.jsonl').decode().splitlines()]
    assert [(line['step'], line['loss']) for line in lines] == [(2, 0.5), (4, 0.25), (6, 0.5)]
    names = tf.io.gfile.listdir(ram)
    assert {'config.json', 'metrics.jsonl', 'panels'} <= {name.rstrip('/') for name in names}
    assert sum('tfevents' in name for name in names) == 2 and not any(name.startswith('.') for name in names)
    np.testing.assert_array_equal(tf.io.decode_png(read(f'{ram}/panels/labeled_000006.png')), picture)
    events = next(f'{ram}/{name}' for name in names if 'tfevents' in name)
    assert len(list(tf.compat.v1.io.tf_record_iterator(events))) > 1


def test_another_run_in_a_store_is_refused(ram):
    import tiny
    config = tiny.config('supervised')
    folder = run_folder.prepare(ram)
    run_folder.write_json(folder / 'config.json', config.to_dict())
    split = types.SimpleNamespace(hash='a' * 64, name='half')
    run_folder.write_json(folder / 'run.json', {'split': {'hash': 'a' * 64}})
    run_folder.check_same_run(ram, config, split)
    config.seed = 5
    with pytest.raises(InputError, match='holds another run: seed is'):
        run_folder.check_same_run(ram, config, split)
    assert run_folder.read_config(ram).seed == 0


def test_a_missing_remote_run_is_an_input_error(ram):
    with pytest.raises(InputError, match='config.json: cannot be read'):
        run_folder.read_config(ram)


@pytest.mark.parametrize('workdir, says', [
    ('s3://bucket/run', "--workdir=s3://bucket/run: no answer .*'s3' not implemented"),
    ('ftp://host/run', 'ftp://host/run: no file system is known for ftp://'),
    ('file:///tmp/run', 'no file system is known for file://')])
def test_an_address_that_nothing_serves(workdir, says):
    with pytest.raises(InputError, match=says) as error:
        run_folder.check_writable(workdir)
    assert 'gs://BUCKET/FOLDER' in str(error.value) and len(str(error.value).splitlines()) == 2


def test_gs_says_which_package_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, 'google.cloud', None)  # as if it were not installed
    with pytest.raises(InputError, match='gs:// need the package google-cloud-storage'):
        run_folder.check_writable('gs://bucket/run')


def test_local_folders_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'deep' / 'er').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('deep/er')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))  # a shell leaves the ~ of --workdir=~/run to the program
    for workdir, there in (('run', 'run'), ('~/run', 'home/run'), ('[1] *?/a', '[1] *?/a'), ('./a/b', 'a/b'),
                           ('link/../c', 'deep/c')):
        run_folder.check_writable(workdir)
        folder = run_folder.prepare(workdir)
        run_folder.write_json(folder / 'config.json', {})
        checkpoints = Checkpoints(workdir)
        checkpoints.close()
        assert sorted(os.listdir(tmp_path / there)) == ['checkpoints', 'config.json'], workdir
        assert storage.locate(workdir) == epath.Path(os.path.expanduser(workdir))
