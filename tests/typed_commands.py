"""Commands as they are typed in a folder, started quickly: forked from a process that has imported everything.

Each is a whole `python -m s4mim_jax.X` or `python FILE.py`: flags, files, exit status; only the imports are shared.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from forked_runs import QUICK_COMPILES

ROOT = Path(__file__).resolve().parents[1]
SERVER = '''
import ctypes, json, os, runpy, signal, sys
end_with_parent = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
end_with_parent()
import orbax.checkpoint, s4mim_jax.data.tensorflow_setup
from clu import metric_writers
import s4mim_jax.runs.loop, s4mim_jax.reporting.page, s4mim_jax.prediction.loading

print('ready', flush=True)
for line in sys.stdin:
    words = json.loads(line)
    pid = os.fork()
    if not pid:
        end_with_parent()
        log = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        status = 1
        try:
            if words[0] == '-m':
                sys.argv = words[1:]
                runpy.run_module(words[1], run_name='__main__', alter_sys=True)
            else:
                sys.argv = words
                runpy.run_path(words[0], run_name='__main__')
            status = 0
        except SystemExit as leave:
            status = leave.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status if isinstance(status, int) else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
'''


class Commands:
    """Types commands in a folder, in which `docs/` is the project's. Leaving the context ends what still runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        (self.folder / 'docs').symlink_to(ROOT / 'docs')
        environment = os.environ | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', 'TF_CPP_MIN_LOG_LEVEL': '3',
                                    'XLA_FLAGS': QUICK_COMPILES}
        self._server = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', SERVER], cwd=self.folder,
                                        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout.readline() == 'ready\n'
        return self

    def __call__(self, words) -> str:
        """What the command printed; its words are those after `python`."""
        self._server.stdin.write(json.dumps(list(words)) + '\n')
        self._server.stdin.flush()
        status, printed = int(self._server.stdout.readline()), (self.folder / 'log').read_text()
        assert status == 0, f'{" ".join(words)}: status {status}\n{printed[-3000:]}'
        return printed

    def __exit__(self, *error):
        self._server.kill()
        self._server.wait()
