"""Class names beside an export: classes.txt of this project, labels.txt of labelme."""

from pathlib import Path

from s4mim_jax.data.label_formats.label_set import BACKGROUND_NAMES, IGNORE_NAMES
from s4mim_jax.data.label_formats.text import read_text


def given_names(folder: Path) -> tuple[str, ...] | None:
    """Names in order of id, or None where no list lies in the folder.

    classes.txt has `id name` lines or, as labels.txt, bare names a line; names for ignored pixels are left out.
    """
    for name in ('classes.txt', 'labels.txt'):
        path = folder / name
        if not path.is_file():
            continue
        lines = [line.split('#')[0].strip() for line in read_text(path).splitlines()]
        words = [line.split() for line in lines if line]
        if words and all(parts[0].isdecimal() and len(parts) >= 2 for parts in words):
            from s4mim_jax.data.classes import read_classes  # its messages name line and form
            return read_classes(path)[0]
        names = [line for line in lines if line and line.lower() not in IGNORE_NAMES]
        if not any(n.lower() in BACKGROUND_NAMES for n in names[1:]) and names:
            return tuple('background' if n.lower() in BACKGROUND_NAMES else n for n in names)
    return None
