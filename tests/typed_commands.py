"""Commands as they are typed in a folder, started quickly (fork_server.py)."""

from pathlib import Path

from fork_server import ROOT, ForkServer


class Commands:
    """Types commands in a folder, in which `docs/` is the project's. Leaving the context ends what still runs."""

    def __init__(self, folder: Path):
        self._folder, self._server = folder, ForkServer(folder)

    def __enter__(self):
        (self._folder / 'docs').symlink_to(ROOT / 'docs')
        self._server.__enter__()
        return self

    def __call__(self, words) -> str:
        """What the command printed; its words are those after `python`."""
        log = self._folder / 'log'
        log.write_text('')
        self._server.start(words, log)
        status, printed = self._server.wait(), log.read_text()
        assert status == 0, f'{" ".join(words)}: status {status}\n{printed[-3000:]}'
        return printed

    def __exit__(self, *error):
        self._server.__exit__(*error)
