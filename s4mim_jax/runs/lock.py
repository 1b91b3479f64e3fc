"""One run folder, one writer: a lock that names who writes, outlives no process and keeps out those who come later.

On a disk the writer holds `flock` on RUN/run.lock, which the kernel gives up when the process ends, however it ends.
Where that says nothing (another host on NFS, a file system without flock, an object store) the file's heart does: the
writer renews it every BEAT seconds, and who comes waits up to SILENCE to see whether it still beats.
"""

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
import uuid

import jax
import numpy as np
from jax.experimental import multihost_utils

from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import storage

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILE = 'run.lock'
BEAT, SILENCE = 10.0, 45.0  # seconds; a store's clock and a busy disk may delay a beat


class RunLock:
    """Context manager: holds the lock of a run folder that exists.

    Of several processes that are one run, only the first takes it.

    Raises:
      InputError: on entering, where a process that lives holds it.
    """

    def __init__(self, workdir, *, beat: float = BEAT, silence: float = SILENCE):
        self._path = storage.absolute(workdir) / FILE
        self._workdir, self._beat, self._silence = workdir, beat, silence
        self._owner = {'host': socket.gethostname(), 'boot': _boot(), 'pid': os.getpid(), 'token': uuid.uuid4().hex,
                       'since': time.strftime('%Y-%m-%d %H:%M:%S %z'), 'beat': 0}
        self._file, self._over = None, threading.Event()
        self._heart = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self):
        if storage.is_remote(self._path):
            self._take_remote()
        else:
            self._take_local()
        self._heart.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._heart.join()
        with contextlib.suppress(Exception):  # the folder may be gone; a lock left behind is a stale one
            if (_read(self._path) or {}).get('token') == self._owner['token']:
                self._path.unlink()
        if self._file is not None:
            os.close(self._file)

    def _take_local(self) -> None:
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise InputError(f'{self._path} cannot be written ({error.strerror}); it keeps a second training '
                                 'out of the folder') from None
            try:
                locked, other = _flock(file), _read(self._path)
                if locked is False or (other and not self._is_over(other, locked)):
                    raise _held(self._workdir, other, self._path)
                # Between opening and locking, the one before may have removed the file that we hold.
                if not os.path.exists(self._path) or os.stat(self._path).st_ino != os.fstat(file).st_ino:
                    os.close(file)
                    continue
            except InputError:
                os.close(file)
                raise
            self._file = file
            self._write()
            if locked is None:
                self._confirm()
            if other:
                print(f'{self._path}: was that of {_name(other)}, which has ended; taken over', flush=True)
            return

    def _take_remote(self) -> None:
        other = _read(self._path)
        if other and not self._is_over(other, None):
            raise _held(self._workdir, other, self._path)
        self._write()
        self._confirm()

    def _confirm(self) -> None:
        """Without a lock of the file system, of two that came at once the last to write has it."""
        time.sleep(min(2.0, self._beat / 2))
        now = _read(self._path)
        if now and now['token'] != self._owner['token']:
            raise _held(self._workdir, now, self._path)

    def _is_over(self, other: dict, locked: bool | None) -> bool:
        """Whether the process that wrote the file has ended. locked: we hold its flock; None = there is none."""
        same_host = other.get('host') == self._owner['host']
        same_boot = bool(self._owner['boot']) and other.get('boot') == self._owner['boot']
        if locked and (same_boot or same_host):  # this kernel would know, and so would it before it was started anew
            return True
        if same_boot and same_host and not _alive(other['pid']):
            return True
        print(f'{self._path}: {_name(other)} may still write here; waiting up to {self._silence:.0f} s for a sign '
              'of it', file=sys.stderr, flush=True)
        end = time.monotonic() + self._silence
        while time.monotonic() < end:
            time.sleep(min(1.0, self._beat / 4))
            now = _read(self._path)
            if now is None:
                return True
            if (now['token'], now['beat']) != (other['token'], other['beat']):
                return False
        return True

    def _renew(self) -> None:
        while not self._over.wait(self._beat):
            self._owner['beat'] += 1
            with contextlib.suppress(Exception):  # a full disk ends the run where it writes what matters
                if (_read(self._path) or self._owner)['token'] == self._owner['token']:
                    self._write()

    def _write(self) -> None:
        text = json.dumps(self._owner)
        if self._file is None:
            self._path.write_text(text)
            return
        os.pwrite(self._file, text.encode(), 0)  # in place: a renamed file would not be the one that is locked
        os.ftruncate(self._file, len(text))


def hold(workdir, held: contextlib.ExitStack) -> None:
    """Takes the lock until `held` is closed. Of several processes the first takes it for all, or none goes on.

    Raises:
      InputError: another training holds it; in every process.
    """
    refused = None
    if jax.process_index() == 0:
        try:
            held.enter_context(RunLock(workdir))
        except InputError as error:
            refused = error
    if jax.process_count() > 1:
        taken = int(multihost_utils.broadcast_one_to_all(np.int32(refused is None)))
        refused = refused or (None if taken else InputError(f'{workdir} is being written by another training, which '
                                                            'process 0 names'))
    if refused:
        raise refused


def refuse_if_held(workdir) -> None:
    """A first look that writes nothing and waits for nobody: names a process of this machine that writes the folder.

    Raises:
      InputError: there is one.
    """
    path = storage.absolute(workdir) / FILE
    if storage.is_remote(path) or fcntl is None or not os.path.isfile(path):
        return
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        if _flock(file) is False:
            raise _held(workdir, _read(path), path)
    finally:
        os.close(file)


def _flock(file: int) -> bool | None:
    """True: taken. False: another process holds it. None: this file system has no such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None


def _read(path) -> dict | None:
    """What a lock file says; None where there is none, or one that was never filled."""
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) and {'token', 'beat', 'pid'} <= found.keys() else None
    except Exception:  # each store has exceptions of its own
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _boot() -> str:
    """Of this start of this kernel, the same in all its containers; '' where it is not told."""
    try:
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return ''


def _name(other: dict) -> str:
    return f'process {other["pid"]} on {other.get("host", "?")}, since {other.get("since", "?")}'


def _held(workdir, other: dict | None, path) -> InputError:
    who = _name(other) if other else 'a process that has just begun'
    return InputError(f'{workdir} is being written by another training: {who}\n'
                      f'wait for it, stop it, or name another --workdir ({path} goes away with it)')
