"""What `fit` leaves: pseudo-labels that can lie beside the masks that the run learned from."""

import numpy as np
import tiny_run
from PIL import Image

from s4mim_jax import data
from s4mim_jax.fitting import outcome
from s4mim_jax.prediction.pseudo_label_files import LIST
from s4mim_jax.runs.run_folder import read_json, write_json


def test_pseudo_labels_have_the_palette_of_the_masks_and_are_made_once(tmp_path):
    colors = [(9, 8, 7), (200, 10, 30), (0, 120, 90), (50, 60, 70), (255, 250, 1)]
    folder = tiny_run.dataset(tmp_path / 'set', classes=len(colors))
    (folder / 'classes.txt').unlink()  # then the colours of the palette are nobody's but the masks'
    for path in sorted((folder / 'masks').rglob('*.png')):
        mask = Image.fromarray(np.asarray(Image.open(path)))
        mask.putpalette([value for color in colors for value in color] + [0] * 3 * (256 - len(colors)))
        mask.save(path)
    config = tiny_run.config(folder)
    config.data.split = 'seeded:1/2'
    tiny_run.make(tmp_path / 'run', config)
    source = data.open_source(config.data)
    data.check_samples(source, source.splits['train'])  # as a training does before it describes itself
    run = read_json(tmp_path / 'run/run.json')
    write_json(tmp_path / 'run/run.json', run | {'masks': source.masks.record(source)})
    said = []
    outcome.predict(tmp_path, {'best': 'run'}, said.append)
    written = sorted(path for path in (tmp_path / 'predictions').rglob('*.png') if 'confidence' not in path.name)
    assert written and all(Image.open(path).mode == 'P' for path in written)
    assert Image.open(written[0]).getpalette()[:15] == [value for color in colors for value in color]
    assert (tmp_path / 'predictions' / LIST).is_file()
    before = written[0].stat().st_mtime_ns
    outcome.predict(tmp_path, {'best': 'run'}, said.append)
    assert 'already' in said[-1] and written[0].stat().st_mtime_ns == before
