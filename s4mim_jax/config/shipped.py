"""The configs of datasets and methods that come with the package, wherever it is installed."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """`configs/` of the checkout, or the copy of it inside an installed package."""
    installed = _PACKAGE / 'configs'
    return installed if installed.is_dir() else _PACKAGE.parent / 'configs'


def find(name: str) -> Path | None:
    """The config file that a `--config` names.

    Args:
      name: a path, or that of a shipped config: `configs/camvid.py`, `camvid.py` or `camvid`.

    Returns:
      the file as it is named if there is one, else the shipped one; None = neither.
    """
    if Path(name).is_file():
        return Path(name)
    parts = Path(name).parts
    inner = parts[1:] if parts[:1] == ('configs',) else parts
    if len(inner) != 1:  # a path of the user's own that does not exist
        return None
    path = (folder() / inner[0]).with_suffix('.py')
    return path if path.is_file() else None


def method_files(config_file: str | Path) -> dict[str, Path]:
    """Methods by name: those of the package, and those in `methods/` beside a config file, which come first."""
    places = (folder() / 'methods', Path(config_file).resolve().parent / 'methods')
    return {path.stem: path for place in places for path in sorted(place.glob('*.py')) if path.stem != '__init__'}
