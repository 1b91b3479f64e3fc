"""Walks a dataset before training and tells what is in it and what is wrong with it.

    python -m s4mim_jax.data.check --config=configs/camvid.py:unimatch,split=1_16 [--output=FOLDER]

Goes on past bad files and names all of them. FOLDER receives samples.png (image | mask | overlay, in the
palette's colours) and check.json. Exit status: 0 training would start, 2 it would refuse.
"""

import json
import os
from pathlib import Path

from absl import flags

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.data.check import pictures, report
from s4mim_jax.data.check.audit import TURNED, UNTURNED, Finding, audit
from s4mim_jax.data.held_out import open_source
from s4mim_jax.data.splits import evaluation_split, training_split

REFUSED = 2


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    command_line.refuse_arguments(positional)
    config = command_line.load_config(config_file, overrides)
    validate(config)
    output = _folder(values.output) if values.output else None
    result = check(config, decode=values.decode, output=output, pictures_of=values.pictures)
    return REFUSED if result['refused'] else 0


def check(config, *, decode: bool = True, output: Path | None = None, pictures_of: int = 3) -> dict:
    """Checks the dataset of a config, prints what it found and writes it to `output`.

    Args:
      config: whole config, validated.
      decode: see `audit`.
      output: an existing folder for samples.png and check.json, or None.
      pictures_of: samples of each group in samples.png.

    Returns:
      what check.json holds, see `report.summary`.

    Raises:
      InputError: the dataset cannot be opened at all, or the folder not written.
    """
    from s4mim_jax.training import passes
    source = open_source(config.data)
    unlabeled = passes.passes_of(config.method).unlabeled
    groups, needed, problems = {'train': source.splits['train']}, {config.eval.split}, []
    split = None
    try:
        split = training_split(source, config.data.split, config.seed)
    except InputError as error:  # a list, or files that a seeded split has to read; those are listed below
        problems.append(Finding('no split', f'--config.data.split={config.data.split}', str(error), True))
        needed.add('train')
    if split:
        groups |= {'labeled': split.labeled, 'unlabeled': split.unlabeled}
        needed |= {'labeled'} | ({'unlabeled'} if unlabeled else set())
        if unlabeled and not split.unlabeled:
            problems.append(Finding('no split', f'--config.data.split={config.data.split}',
                                    f'no unlabelled samples, but method {config.method.name} learns from them', True))
    for name, samples in source.splits.items():
        groups.setdefault(name, samples)
    try:
        evaluation_split(source, config.eval.split)
    except InputError as error:
        problems.append(Finding('no evaluation', f'--config.eval.split={config.eval.split}', str(error), True))
    found = audit(source, groups, needed, decode=decode)
    found.findings[:0] = problems + [Finding('not used', entry.where, str(entry), False) for entry in source.left_out]
    result = report.summary(source, config, split, found)
    print(report.as_text(source, result), flush=True)
    if output:
        turned = {f.where for f in found.findings if f.kind in (TURNED, UNTURNED)}
        one = [s for group in groups.values() for s in group if s.mask in turned][:1]
        shown = {'turned by EXIF': tuple(one)} if one else {}
        drawn = pictures.samples(source, shown | groups, found.same, pictures_of)
        _write(output / 'check.json', lambda draft: draft.write_text(json.dumps(result, indent=2) + '\n'))
        if drawn is not None:
            _write(output / 'samples.png', lambda draft: drawn.save(draft, 'PNG'))
        print(f'written to {output}: check.json{", samples.png" if drawn is not None else ""}')
    return result


def _folder(name: str) -> Path:
    """Made before the scan, which may take long."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--output={name} cannot be made ({error.strerror}); name a folder') from None
    if not os.access(folder, os.W_OK):
        raise InputError(f'--output={name} cannot be written; name a folder of yours')
    return folder


def _write(path: Path, write) -> None:
    """Beside and renamed, so that a failure leaves what was there."""
    draft = path.with_name(f'.{path.name}-{os.getpid()}')
    try:
        write(draft)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f'{path}: cannot be written ({error.strerror})') from None


if __name__ == '__main__':
    flags.DEFINE_string('config', None, command_line.CONFIG_HELP)
    flags.DEFINE_string('output', None, 'folder for samples.png and check.json')
    flags.DEFINE_integer('pictures', 3, 'samples of each group in samples.png', lower_bound=0)
    flags.DEFINE_bool('decode', True, 'decode every file; --nodecode: no class counts, no copies, image headers only')
    command_line.run(main)
