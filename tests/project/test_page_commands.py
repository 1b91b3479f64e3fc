"""Every command of every page is valid, and is run by a test or named on docs/commands.md with what it needs."""

import re
import shutil
from pathlib import Path

import label_exports
import page_commands
import pages
import pytest
from typed_commands import Commands

from s4mim_jax.config import base
from s4mim_jax.config.command_line import load_config, split_config_flags
from s4mim_jax.config.overrides import assign
from s4mim_jax.config.validation import validate

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = page_commands.collect()
HERE = 'typed by the slow test below'
# What a command begins with -> the test that runs it, the longest beginning counts.
RUN_BY = {
    './launch/quickstart.sh': 'tests/project/test_installed.py::test_an_installed_wheel_in_an_empty_folder',
    './launch/test.sh': 'tests/launch/test_launch.py::test_setup_and_test_arguments',
    'launch/test.sh': 'tests/launch/test_launch.py::test_setup_and_test_arguments',
    'launch/setup.sh': 'tests/launch/test_launch.py::test_setup_and_test_arguments',
    'launch/multi_gpu.sh': 'tests/launch/test_launch.py::test_commands_of_the_pages_are_accepted',
    'launch/kubernetes.sh': 'tests/launch/test_launch.py::test_commands_of_the_pages_are_accepted',
    'bash launch/slurm.sbatch': 'tests/launch/test_launch.py::test_commands_of_the_pages_are_accepted',
    'launch/tpu_pod.sh run': 'tests/launch/test_launch.py::test_commands_of_the_pages_are_accepted',
    'launch/tpu_pod.sh resume': 'tests/launch/test_tpu_pod.py::test_a_preempted_run_is_made_again_and_continues',
    'launch/tpu_pod.sh stop': 'tests/launch/test_tpu_pod.py::test_a_worker_starts_once_and_stops_saved',
    'launch/tpu_pod.sh delete': 'tests/launch/test_tpu_pod.py::test_delete_asks',
    'ruff check': 'tests/project/test_docs.py::test_the_code_keeps_the_chosen_rules',
    'python tests/hue_by_equality.py': 'tests/views/test_hue.py::test_the_reproducer_finds_no_pixel_by_order',
    'python benchmarks/ablation.py':
        'tests/benchmarks/test_ablation.py::test_the_committed_table_is_that_of_the_committed_runs',
    'python benchmarks/fit.py': 'tests/benchmarks/test_fit_outcomes.py::test_the_command_prints_the_table_of_the_page',
    'python -m s4mim_jax.fit': 'tests/project/test_installed.py::test_an_installed_wheel_in_an_empty_folder',
    'python -m s4mim_jax.plan --config=...': 'tests/planning/test_plan.py::test_a_plan_for_eight_devices',
    'python -m s4mim_jax.catalog': 'tests/models/test_pairs.py::test_the_command_lists_pairs',
    'python -m s4mim_jax.config.reference': 'tests/config/test_keys.py::test_the_page_is_what_the_code_has',
    'python -m s4mim_jax.data.shapes.picture': 'tests/data/test_shapes.py::test_sheet',
    'python -m s4mim_jax.train --config=configs/auto.py':
        'tests/fitting/test_fit.py::test_the_config_auto_is_the_proposal_for_train',
    'python -m s4mim_jax.train --config=my_run/config.py':
        'tests/fitting/test_fit.py::test_the_proposal_is_a_config_file_that_train_takes',
    'python -m s4mim_jax.train --config=configs/shapes.py:fixmatch,modules=ideas':
        'tests/terms/test_new_idea.py::test_an_idea_of_the_page_trains_three_steps',
    'python docs/examples/make_images.py':
        'tests/data/test_own_images_page.py::test_the_images_are_read_as_the_commands_say',
    **{f'python -m s4mim_jax.{name}': HERE for name in (
        'train', 'evaluate', 'predict', 'report', 'export', 'import_weights', 'convert_labels', 'data.check')},
}
NOT_RUN = [row[0].strip('`') for row in pages.rows('commands_not_run')]
PLACES = RUN_BY | dict.fromkeys(NOT_RUN)


def plain(text: str) -> str:
    return ' '.join(text.split())


def place(command) -> str | None:
    """The longest beginning of PLACES that the command has, or None."""
    text = plain(command.text)
    return max((start for start in PLACES if text.startswith(start)), key=len, default=None)


def name_of(command) -> str:
    return f'{command.page}: {plain(command.text)[:90]}'


def test_commands_are_found():
    found = {plain(command.text) for command in COMMANDS}
    assert len(found) > 100
    assert 'python -m s4mim_jax.fit my_images --output=my_run --minutes=30' in found  # a block
    assert 'python -m s4mim_jax.catalog --markdown' in found  # running text
    assert 'python -m s4mim_jax.evaluate --checkpoint=best,latest' in found  # in short
    assert any('--workdir=runs/stones' in text and 'class_balance=effective' in text for text in found)  # two lines
    assert not any(text.startswith(('mkdir', 'env ')) for text in found)  # output of another command


def test_every_command_is_run_or_named():
    assert [name_of(command) for command in COMMANDS if place(command) is None] == []


def test_no_place_is_stale():
    assert set(PLACES) - {place(command) for command in COMMANDS} == set()
    assert not set(NOT_RUN) & set(RUN_BY)
    for test in set(RUN_BY.values()) - {HERE}:
        path, _, function = test.partition('::')
        assert re.search(rf'^def {function}\(', (ROOT / path).read_text(), re.MULTILINE), test


def flags_of(script: Path) -> set[str]:
    text = script.read_text()
    found = set(re.findall(r"DEFINE_\w+\(\s*'(\w+)'", text)) | set(re.findall(r"add_argument\('--(\w+)'", text))
    if 'processes.define_flags()' in text:
        found |= flags_of(ROOT / 's4mim_jax/parallel/processes.py')
    return found | {'help'}


def script_of(command) -> Path | None:
    """The Python file that a command starts, or None."""
    if command.module:
        path = ROOT / 's4mim_jax' / command.module.replace('.', '/')
        return path / '__main__.py' if path.is_dir() else path.with_suffix('.py')
    found = re.match(r'python (\S+\.py)', command.text)
    return ROOT / found[1] if found else None


@pytest.mark.parametrize('command', [c for c in COMMANDS if script_of(c)], ids=name_of)
def test_its_flags_and_settings_exist(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    script = script_of(command)
    rest, file, overrides = split_config_flags([word for word in command.words if '...' not in word and word != '&'])
    names = {word.lstrip('-').partition('=')[0] for word in rest if word.startswith('--')}
    assert names <= flags_of(script), script
    if not command.module:
        return
    generated = ('configs/auto.py', 'my_run/config.py', 'c.py')  # look at a dataset; tests/fitting has them
    if file and not file.startswith(generated) and 'modules=' not in file:
        validate(load_config(file.replace('METHOD', 'fixmatch_ema'), overrides))
    else:
        config = base()
        for key, text in overrides:
            assign(config, key, text)


# --- typed ---

ORDER = ('README.md', 'training.md', 'export.md', 'label_formats.md', 'pretrained_weights.md')


def typed():
    """The commands that are typed here, page after page."""
    return [command for page in ORDER for command in COMMANDS
            if command.page == page and RUN_BY.get(place(command)) == HERE and complete(command)]


def complete(command) -> bool:
    """Whether nothing is left out that the program needs: `evaluate --checkpoint=best` in running text is a hint."""
    return any(f'--{name}' in command.text for name in ('workdir', 'output', 'describe'))


def form(command):
    """What a command is, whatever folders it names."""
    return command.module, frozenset(word.partition('=')[0] for word in command.words if word.startswith('--'))


def test_what_is_not_typed_is_a_hint_or_of_a_form_that_is():
    forms, rest = set(map(form, typed())), set(COMMANDS) - set(typed())
    assert len(typed()) >= 14
    assert [name_of(c) for c in rest if RUN_BY.get(place(c)) == HERE and complete(c) and form(c) not in forms] == []

NARROW = ['--config.total_steps=2', '--config.eval.every=2', '--config.checkpoint.every=2', '--config.log.images=0',
          '--config.batch.labeled=2', '--config.batch.unlabeled=2', '--config.model.encoder=resnet18',
          '--config.model.width=4', '--config.model.decoder_width=4', '--config.model.low_level_width=4',
          '--config.model.aspp_rates=(1,)', '--config.data.crop=(32, 32)']


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """A folder with what the pages take for granted: images, photos, an export, three runs, weights."""
    folder = tmp_path_factory.mktemp('typed')
    with Commands(folder) as run:
        run(['docs/examples/make_images.py', 'my_images'])
        shutil.copytree(folder / 'my_images/binary', folder / 'mine')
        for name in ('photos', 'folder/of/photos'):
            shutil.copytree(folder / 'mine/images/test', folder / name)
        shutil.copy(next((folder / 'photos').iterdir()), folder / 'photo.jpg')
        label_exports.labelme(folder / 'my_export')
        start, = (ROOT / 's4mim_jax/pretrained/files').glob('*.safetensors')
        shutil.copy(start, folder / 'start.safetensors')
        yield folder, run


# Words of the pages that stand for something of one's own.
OWN = {'--sizes=480x640': '--sizes=96x128', '--platforms=cpu,cuda,tpu': '--platforms=cpu',
       'SOURCE': 'start.safetensors', '--output=FILE': '--output=FILE.safetensors'}


MADE = {'README.md': ['check', 'predictions/test_00.png'],
        'training.md': ['predictions/photo.png', 'report/index.html'],
        'export.md': ['model/model.json', 'predictions/test_00.png'],
        'label_formats.md': ['my_data/masks', 'pseudo/correct.html'],
        'pretrained_weights.md': ['FILE.safetensors']}


@pytest.mark.slow
@pytest.mark.parametrize('page', ORDER)
def test_the_commands_can_be_typed_one_after_the_other(page, world):
    """README first, then the pages that go on where it ends; each in the folder that the ones before it have left."""
    folder, run = world
    for name in ('pseudo', 'predictions'):  # predictions never replace others
        shutil.rmtree(folder / name, ignore_errors=True)
    for command in typed():
        if command.page != page:
            continue
        words = [OWN.get(word, word) for word in command.words]
        if page == 'README.md':  # its images have no masks of 0 and 255
            words = [word.replace('=my_images', '=mine') for word in words]
            words += ['--config.data.label_map=0:0,255:1'] * (command.module in ('train', 'data.check'))
        if page == 'training.md' and command.module == 'train':
            words += ['--config.data.name=folder', '--config.data.dir=mine', '--config.data.label_map=0:0,255:1',
                      '--config.data.split=all']
        if command.module == 'train':
            words += NARROW
        if command.module == 'report':
            for name in words[:3]:  # the page's two others were trained like this one
                if not (folder / name).exists():
                    shutil.copytree(folder / 'runs/fixmatch', folder / name)
        run(['-m', f's4mim_jax.{command.module}', *words])
    assert [name for name in MADE[page] if not (folder / name).exists()] == []
