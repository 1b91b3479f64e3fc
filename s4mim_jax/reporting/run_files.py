"""Finds run folders and reads what train and evaluate have left in them. Needs no JAX."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.reporting.runs import Result, Run, number

MARKS = ('run.json', 'metrics.jsonl')  # a folder with one of these is a run folder
DEPTH = 3  # folders below an argument that are searched
VALID = 'valid: run folders that train has written, or folders that hold some'


def find_runs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Run folders among the arguments and up to three folders below, sorted, each once.

    Returns:
      (folders, a message for every argument that holds none while others do).

    Raises:
      InputError: an argument that is no folder, or no run at all.
    """
    found, empty = {}, []
    for argument in arguments:
        if not os.path.isdir(argument):
            what = 'not a folder' if os.path.exists(argument) else 'no such folder'
            raise InputError(f'{argument}: {what}\n{VALID}')
        inside = list(_walk(Path(argument), DEPTH))
        if not inside:
            empty.append(f'{argument}: no run found (no folder with {" or ".join(MARKS)}, {DEPTH} levels deep)')
        for path in inside:
            found.setdefault(path.resolve(), path)
    if not found:
        raise InputError('\n'.join([*empty[:2], VALID]))
    return list(found.values()), empty


def _walk(folder: Path, depth: int):
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # a folder that may not be read holds nothing for us
        return
    if any(entry.name in MARKS for entry in entries):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith('.'):
                yield from _walk(Path(entry.path), depth - 1)


def read_run(path: Path) -> tuple[Run, list[str]]:
    """Reads a run folder.

    Returns:
      (run, a message for every file in eval/ and cost.json that cannot be used; the run does without).

    Raises:
      InputError: config.json, run.json or metrics.jsonl cannot be used.
    """
    config, info = flat(_read_object(path / 'config.json')), _read_object(path / 'run.json')
    for key in ('method.name', 'data.name', 'total_steps'):
        if key not in config:
            raise InputError(f'{path / "config.json"}: no key {key}\n{VALID}')
    if number(config['total_steps']) is None:
        raise InputError(f'{path / "config.json"}: total_steps is {config["total_steps"]!r}; valid: a number')
    if not isinstance(info.get('classes'), list) or not isinstance(info.get('split'), dict):
        raise InputError(f'{path / "run.json"}: no classes or no split\n{VALID}')
    notes, problems = [], []
    lines = _read_metrics(path / 'metrics.jsonl', notes)
    results = {}
    for file in sorted((path / 'eval').glob('test*.json')):
        try:
            values = _read_object(file)
            if number(values.get('miou')) is None or not isinstance(values.get('iou'), dict):
                raise InputError(f'{file}: no miou or no iou; is this a file that evaluate has written?')
            results[file.stem] = Result(file.stem, values)
        except InputError as error:
            problems.append(str(error))
    best = sorted((name for name in results if name.startswith('test-best-')), reverse=True)  # teacher, then student
    test = next((results[name] for name in [*best, 'test'] if name in results), None)
    cost = {}
    if (path / 'cost.json').exists():
        try:
            cost = _read_object(path / 'cost.json')
        except InputError as error:
            problems.append(str(error))
    return Run(path, config, info, lines, test, cost, tuple(notes)), problems


def flat(tree: dict, prefix: str = '') -> dict:
    """Nested dicts -> dotted key: value."""
    result = {}
    for key, value in tree.items():
        result |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
    return result


def _read_object(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})\n{VALID}') from None
    except ValueError as error:
        raise InputError(f'{path}: not valid JSON ({error})') from None
    if not isinstance(value, dict):
        raise InputError(f'{path}: a JSON {type(value).__name__} where an object is expected')
    return value


def _read_metrics(path: Path, notes: list[str]) -> dict[str, list[dict]]:
    if not path.exists():
        notes.append('nothing logged yet (no metrics.jsonl)')
        return {}
    try:
        rows = path.read_text(encoding='utf-8').split('\n')
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: cannot be read ({getattr(error, "strerror", None) or error})') from None
    table: dict[str, dict[int, dict]] = {}
    for count, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            line = json.loads(row)
            table.setdefault(line['split'], {})[int(line['step'])] = line
        except (ValueError, KeyError, TypeError) as error:
            if count == len(rows):  # no newline behind it: train is writing it, or was killed while it did
                notes.append('the last line of metrics.jsonl is half written and left out')
                break
            what = f'no {error}' if isinstance(error, KeyError) else error
            raise InputError(f'{path}, line {count}: {row[:50]!r} is not a line that train writes ({what})\n'
                             'valid: a JSON object a line, with step and split') from None
    return {split: [lines[step] for step in sorted(lines)] for split, lines in table.items()}
