"""benchmarks/input.py counts what it says it counts."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dataset_trees import write_folder

FILE = Path(__file__).resolve().parents[2] / 'benchmarks' / 'input.py'


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('input_benchmark', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('partner,images', [('batch', 8), ('self_view', 12)])
def test_every_crop_is_counted_and_every_byte(benchmark, tmp_path, partner, images):
    changes = {'data.split': 'all', 'data.crop': (8, 10), 'method.cutmix.partner': partner,
               'batch.labeled': 4, 'batch.unlabeled': 4}
    config = benchmark.run_config(changes, str(write_folder(tmp_path / 'camvid', classes=3)))
    for mode in (benchmark.FILES, benchmark.KEPT):
        result = benchmark.measure_stream(config, {}, mode, batches=2)
        assert result['images_per_batch'] == images
        # image 3 bytes and label 1 a pixel; unlabelled pixels carry validity too; int32 index
        assert result['batch_bytes'] == 4 * 80 * 4 + (images - 4) * 80 * 5 + 8 * 4
        assert result['images_per_cpu_second'] > 0
    assert result['first_epoch_images_per_cpu_second'] > 0


def test_a_worker_without_data_says_so_and_ends_with_status_2(tmp_path):
    task = {'kind': 'stream', 'case': 0, 'mode': 'files', 'batches': 1, 'data_dir': str(tmp_path / 'none')}
    done = subprocess.run([sys.executable, FILE, '--worker', json.dumps(task)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert 'none' in done.stderr and 'Traceback' not in done.stderr
