"""Text files of other people's machines: lists and class names in the encodings that editors and shells write."""

import re
from pathlib import Path

from s4mim_jax.config.errors import InputError

# Longest marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = ((b'\xff\xfe\0\0', 'utf-32'), (b'\0\0\xfe\xff', 'utf-32'), (b'\xef\xbb\xbf', 'utf-8-sig'),
          (b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'))


def read_lines(path: Path, *, bytes_kept: bool = False) -> list[str]:
    """Lines without their ends: UTF-8, or UTF-16 and UTF-32 (Windows PowerShell's `>`) by their mark or their zeros.

    Args:
      path: the file.
      bytes_kept: bytes that are no UTF-8 become lone surrogates, as Python has them in the names of files, so that
        a list of such names fits them. Otherwise they are refused.

    Raises:
      InputError: the file cannot be read, or is in another encoding.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        text = data.decode(encoding, 'surrogateescape' if bytes_kept and encoding == 'utf-8' else 'strict')
    except UnicodeDecodeError as error:
        number = data[:error.start].count(b'\n') + 1
        raise InputError(f'{path}: is not {encoding.upper()}: byte 0x{data[error.start]:02x} in line {number}\n'
                         'valid: UTF-8, or UTF-16 with its mark; from Latin-1 or Windows: '
                         'iconv -f WINDOWS-1252 -t UTF-8') from None
    # Not str.splitlines, which also ends lines at characters that names may hold.
    lines = re.split(r'\r\n|\r|\n', text)
    return lines[:-1] if lines[-1] == '' else lines


def _without_mark(data: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of ASCII text; text in UTF-8 has none."""
    start = data[:4096]
    if b'\0' not in start:
        return 'utf-8'
    return 'utf-16-le' if start[1::2].count(0) >= start[0::2].count(0) else 'utf-16-be'


def undecoded(text: str) -> bool:
    """Whether `read_lines(bytes_kept=True)` found bytes in it that are no UTF-8."""
    return any('\udc80' <= c <= '\udcff' for c in text)


def as_western(text: str) -> str:
    """Such text read as Windows-1252, which has Latin-1's letters."""
    return text.encode('utf-8', 'surrogateescape').decode('cp1252', 'replace')
