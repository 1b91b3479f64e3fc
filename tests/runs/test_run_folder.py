"""Before a run: what the folder and the memory allow."""

import os
import stat

import jax
import pytest

from s4mim_jax.config.errors import InputError
from s4mim_jax.planning import memory
from s4mim_jax.runs import run_folder
from s4mim_jax.runs.checkpoints import Checkpoints, restore_weights


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder in which nothing may be looked up, to root either."""
    folder = tmp_path / 'closed'
    folder.mkdir()
    status, access = os.stat, os.access

    def look(path, *args, **kwargs):
        if not isinstance(path, int) and os.fspath(path).startswith(f'{folder}{os.sep}'):
            raise PermissionError(13, 'Permission denied', path)
        return status(path, *args, **kwargs)

    monkeypatch.setattr(os, 'stat', look)
    monkeypatch.setattr(os, 'access', lambda path, mode: os.fspath(path) != str(folder) and access(path, mode))
    return folder


def test_a_folder_that_may_not_be_searched_is_refused(closed):
    with pytest.raises(InputError, match=f'--workdir={closed}/runs/a: {closed} may not be written'):
        run_folder.check_writable(closed / 'runs' / 'a')
    assert not Checkpoints.exist(closed / 'runs')
    with pytest.raises(InputError, match='no checkpoints/ folder'):
        restore_weights(closed / 'runs', None, 2)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='file is not a folder'):
        run_folder.check_writable(tmp_path / 'file' / 'run')
    run_folder.check_writable(tmp_path / 'new' / 'run')
    assert not (tmp_path / 'new').exists()


def test_a_probe_that_another_process_took_away_is_no_error(tmp_path, monkeypatch):
    write = run_folder.Path.write_text

    def write_and_lose(path, text):
        write(path, text)
        os.remove(path)

    monkeypatch.setattr(run_folder.Path, 'write_text', write_and_lose)
    assert stat.S_ISDIR(os.stat(run_folder.prepare(tmp_path / 'run')).st_mode)
    assert not os.listdir(tmp_path / 'run')


@pytest.mark.parametrize('text, share', [('1048576\n', 1048576), ('max\n', None), ('9223372036854771712\n', None)])
def test_a_container_limits_memory(tmp_path, monkeypatch, text, share):
    monkeypatch.setattr(memory, 'LIMIT_FILES', (str(tmp_path / 'absent'), str(tmp_path / 'limit')))
    physical = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    (tmp_path / 'limit').write_text(text)
    assert memory.host_bytes() == (share or physical)
    if jax.default_backend() == 'cpu':
        assert memory.device_bytes() == (share or physical) // jax.local_device_count()
