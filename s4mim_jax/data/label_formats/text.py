"""Reading the text files of exports, with messages that name the file."""

import json
from pathlib import Path
from xml.etree import ElementTree

import yaml

from s4mim_jax.config.errors import InputError


def read_text(path: Path) -> str:
    """Text in UTF-8, a byte order mark dropped, or UTF-16 with one.

    Raises:
      InputError: cannot be read, or another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    try:
        return data.decode('utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: not UTF-8 text (byte {error.start})\nvalid: save it as UTF-8') from None


def read_json(path: Path):
    """Raises InputError with line and column where it is no JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f'{path}, line {error.lineno}: not valid JSON ({error.msg})\n'
                         'valid: the whole file as the tool wrote it') from None


def read_xml(path: Path) -> ElementTree.Element:
    """The root element; raises InputError where it is no XML."""
    try:
        return ElementTree.fromstring(read_text(path).encode())
    except ElementTree.ParseError as error:
        raise InputError(f'{path}: not valid XML ({error})\nvalid: the whole file as the tool wrote it') from None


def read_yaml(path: Path):
    """Raises InputError where it is no YAML."""
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, 'problem_mark', None), 'line', None)
        at = '' if line is None else f', line {line + 1}'
        raise InputError(f'{path}{at}: not valid YAML ({getattr(error, "problem", error)})') from None
