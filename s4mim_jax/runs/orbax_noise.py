"""What Orbax and TensorStore print beside the errors that they raise, kept away from the terminal."""

import asyncio
import logging as levels
import sys

from absl import logging

from s4mim_jax.runs import storage


def _not_what_orbax_tells(record) -> bool:
    return 'orbax' not in record.pathname or (record.levelno > levels.WARNING and not record.exc_info)


# Orbax warns of shardings that we know, and logs each failure in each of its threads beside raising it.
logging.get_absl_logger().addFilter(_not_what_orbax_tells)


def _not_a_failed_read(record) -> bool:
    return not (record.exc_info and record.exc_info[1] is not None and storage.is_failure(record.exc_info[1]))


# Nor do the reads of the other arrays, of which each fails for itself where one file is missing.
levels.getLogger('asyncio').addFilter(_not_a_failed_read)


class QuietLoops:
    """`sys.unraisablehook` that leaves out TensorStore's reports to event loops that are closed.

    When one array of a save fails, Orbax ends the loop that waits for all of them, and each of the others, when
    it is done, prints a traceback through this hook. The failure itself is raised. Some are done only after the
    manager is closed, so the hook stays. It knows the reports by their first frame: in an error of a program
    that is the program's.
    """

    def __init__(self, following):
        self._next = following

    def __call__(self, report):
        if not (report.exc_type is RuntimeError and str(report.exc_value) == 'Event loop is closed'
                and report.exc_traceback is not None
                and report.exc_traceback.tb_frame.f_code is asyncio.BaseEventLoop.call_soon_threadsafe.__code__):
            self._next(report)

    @classmethod
    def install(cls) -> None:
        if not isinstance(sys.unraisablehook, cls):
            sys.unraisablehook = cls(sys.unraisablehook)
