"""Training runs of one or several real processes on this machine, small enough for a test."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from fork_server import QUICK_COMPILES

ROOT = Path(__file__).resolve().parents[1]
TINY = ('model.encoder=resnet18', 'model.stem=7x7', 'model.width=8', 'model.decoder_width=8', 'model.low_level_width=4',
        'model.aspp_rates=(1,2,3)', 'data.crop=(32,32)', 'data.resize=(32,48)', 'batch.labeled=8', 'batch.unlabeled=8',
        'eval.multiple=1', 'eval.batch=4', 'log.images=0', 'optimizer.name=sgd',
        'optimizer.reference_batch=8')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Run:
    """`count` processes of `python -m s4mim_jax.train` on one workdir; their output goes to files beside it.

    Leaving the context kills what still runs.
    """

    def __init__(self, workdir, data, method, settings=(), count=1, devices=4, flags=(), only=None):
        port = free_port()
        self.workdir, self.processes, self.logs = Path(workdir), [], []
        for number in range(count) if only is None else only:
            log = self.workdir.parent / f'{self.workdir.name}_{len(list(self.workdir.parent.glob("*.log")))}.log'
            several = (f'--coordinator=127.0.0.1:{port}', f'--num_processes={count}', f'--process_id={number}')
            command = [sys.executable, '-m', 's4mim_jax.train', f'--config=configs/folder.py:{method}',
                       f'--workdir={workdir}', f'--config.data.dir={data}',
                       *(f'--config.{text}' for text in (*TINY, *settings)), *(several if count > 1 else ()), *flags]
            environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONUNBUFFERED': '1',
                           'JAX_COMPILATION_CACHE_DIR': str(self.workdir.parent / 'cache'),
                           'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices} {QUICK_COMPILES}'}
            self.logs.append(log)
            self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=open(log, 'w'),
                                                   stderr=subprocess.STDOUT))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.wait()

    def wait(self, timeout=400) -> list[int]:
        """Exit statuses of all."""
        return [process.wait(timeout) for process in self.processes]

    def text(self, number=0) -> str:
        return self.logs[number].read_text()


def metrics(workdir) -> list[dict]:
    return [json.loads(line) for line in (Path(workdir) / 'metrics.jsonl').read_text().splitlines()]


def assert_metrics_close(one, other):
    """The same lines; losses and norms equal up to the order of float32 sums.

    Shares of pixels (IoU, accuracy, kept) are steps of a score: rounding may turn a few of 10,000 pixels over.
    """
    one, other = metrics(one), metrics(other)
    assert [(line['step'], line['split'], sorted(line)) for line in one] == \
        [(line['step'], line['split'], sorted(line)) for line in other]
    for a, b in zip(one, other):
        if a['split'] == 'watch':  # shares of one class, of which there may be few pixels
            continue
        for key, value in a.items():
            if isinstance(value, float):
                share = key.startswith(('iou', 'miou', 'pixel_accuracy', 'pseudo_label'))
                np.testing.assert_allclose(value, b[key], rtol=0 if share else 2e-4, atol=2e-3 if share else 2e-4,
                                           err_msg=f'{a["step"]} {key}')
