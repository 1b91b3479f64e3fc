"""While something long goes on, the seconds are counted: in place on a terminal, line by line in a log."""

import io
import time

import pytest

from s4mim_jax.runs.waiting import counting


class Screen(io.StringIO):
    def isatty(self):
        return True


def waited(stream, seconds, **settings):
    with counting('compiling', stream=stream, **settings):
        time.sleep(seconds)
    return stream.getvalue()


def test_a_terminal_counts_in_place():
    text = waited(Screen(), 0.3, tick=0.05)
    assert text.startswith('compiling ...\rcompiling ... 0 s') and text.endswith('s\n') and text.count('\n') == 1
    assert text.count('\r') >= 2


def test_a_log_gets_a_line_now_and_then():
    assert waited(io.StringIO(), 0.05) == 'compiling ...\n'
    assert waited(io.StringIO(), 0.3, line=0.1).splitlines()[:2] == ['compiling ...', 'compiling: 0 s so far']


@pytest.mark.parametrize('stream', [io.StringIO, Screen])
def test_what_is_quick_says_nothing_if_asked_to(stream):
    assert waited(stream(), 0.0, quiet=5) == ''
    assert waited(stream(), 0.3, quiet=0.05).startswith('compiling ...')


def test_an_error_comes_through_and_ends_the_count():
    screen = Screen()
    with pytest.raises(ValueError, match='wrong'), counting('compiling', stream=screen, tick=0.01):
        raise ValueError('wrong')
    said = screen.getvalue()
    time.sleep(0.05)
    assert screen.getvalue() == said


def test_a_stream_that_closes_stops_nothing():
    stream = io.StringIO()
    with counting('compiling', stream=stream, line=0.01):
        stream.close()
        time.sleep(0.05)
