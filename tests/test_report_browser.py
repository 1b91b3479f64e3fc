"""The report in a real browser without a window: pictures are there, nothing complains, nothing asks the network."""

import functools
import http.server
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image
from report_world import make

from s4mim_jax.report import make_report

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason='no Chromium here')


def look(page, folder, *options, size=(1280, 2400)):
    """(screenshot u8 [H, W, 3], lines that the page's console printed)."""
    shot = folder / 'shot.png'
    done = subprocess.run([
        BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
        '--disable-component-update', '--no-first-run', f'--user-data-dir={folder / "profile"}', '--hide-scrollbars',
        '--enable-logging=stderr', f'--screenshot={shot}', f'--window-size={size[0]},{size[1]}', *options, str(page)],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and shot.is_file(), done.stderr[-2000:]
    return np.asarray(Image.open(shot).convert('RGB')), re.findall(r'.*CONSOLE.*', done.stderr)


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp('browser')
    for method in ('supervised', 'unimatch'):
        for seed in (0, 1):
            make(root / 'runs' / method / f'seed{seed}', method, seed, 0.4 + 0.02 * seed, watch=True)
    return make_report([str(root / 'runs')], str(root / 'out'), images=0)[0]


def test_plots_are_seen_and_the_console_is_quiet(page, tmp_path):
    picture, console = look(f'file://{page}', tmp_path)
    assert console == []
    assert picture.shape[:2] == (2400, 1280)
    inked = (np.abs(picture.astype(int) - picture[2, 2]).sum(-1) > 60)
    bands = inked.reshape(12, 200, -1).mean((1, 2))  # of the height: text and plots everywhere, not a blank page
    assert (bands > 0.005).sum() >= 8 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 200


def test_nothing_asks_the_network(page, tmp_path):
    """Served by a server of our own, which sees every request; only the page itself is asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(page.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        _, console = look(f'http://127.0.0.1:{server.server_port}/index.html', tmp_path,
                          '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1')
    finally:
        server.shutdown()
    # The browser asks for an icon by itself; whatever else the page wanted would be here, or an error in the console.
    assert set(asked) - {'/favicon.ico'} == {'/index.html'}
    assert [line for line in console if 'favicon' not in line] == []


def test_a_page_that_asks_would_be_caught(tmp_path):
    (tmp_path / 'page.html').write_text('<img src="http://example.invalid/x.png"><script>nowhere()</script>')
    _, console = look(f'file://{tmp_path / "page.html"}', tmp_path, '--host-resolver-rules=MAP * ~NOTFOUND')
    assert any('ReferenceError' in line or 'nowhere' in line for line in console)


def test_a_phone_and_the_dark(page, tmp_path):
    """Narrow: nothing stands out to the right. Dark: the paper is."""
    narrow, _ = look(f'file://{page}', tmp_path, size=(500, 2400))
    assert (np.abs(narrow[:, -3:].astype(int) - narrow[2, 2]).sum(-1) < 30).mean() > 0.95
    dark, _ = look(f'file://{page}', tmp_path, '--blink-settings=preferredColorScheme=0')
    assert dark[2, 2].sum() < 150 < narrow[2, 2].sum()
