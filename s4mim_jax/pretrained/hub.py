"""Weights by name: `timm:resnet50.a1_in1k`, `hf:facebook/dinov2-small`, resolved through huggingface_hub and its cache.

    timm:NAME[@REVISION]             repository timm/NAME
    hf:OWNER/NAME[@REVISION][:FILE]  any repository; FILE is model.safetensors unless it is named

What was downloaded once is found without a network (HF_HOME, HF_HUB_OFFLINE=1).
"""

import functools
import os
import re
from pathlib import Path
from typing import NamedTuple

from s4mim_jax.config.errors import InputError

FILE = 'model.safetensors'
_NAME = re.compile(r'(?:timm:(?P<name>[\w.-]+)|hf:(?P<repository>[\w.-]+/[\w.-]+))(?:@(?P<revision>[\w./-]+))?'
                   r'(?::(?P<file>[\w./-]+))?')


class Wanted(NamedTuple):
    """A file of a repository; revision None = the newest, or the one in the cache."""

    repository: str
    file: str
    revision: str | None

    @property
    def address(self) -> str:
        return f'https://huggingface.co/{self.repository}/resolve/{self.revision or "main"}/{self.file}'


def is_name(source: str) -> bool:
    return str(source).startswith(('timm:', 'hf:'))


def parse(source: str) -> Wanted:
    """Raises InputError where a name is not of one of the two forms."""
    match = _NAME.fullmatch(source)
    if not match:
        raise InputError(f'--config.model.pretrained={source}: no name of weights\n'
                         'valid: timm:NAME, hf:OWNER/NAME, each with @REVISION and :FILE behind it, or a file')
    return Wanted(match['repository'] or f'timm/{match["name"]}', match['file'] or FILE, match['revision'])


def local_file(source: str) -> str:
    """The path of a weights file; a name of the hub is downloaded, or found in the cache, and told once.

    Raises:
      InputError: huggingface_hub is not installed, no such repository or file, a licence that was not accepted, or no
        network: with the address of the file, and where to put it.
    """
    return _resolve(str(source)) if is_name(source) else str(source)


@functools.cache
def _resolve(source: str) -> str:
    wanted = parse(source)
    by_hand = f'or download {wanted.address}\nand give --config.model.pretrained=PATH_OF_THE_FILE'
    os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise InputError(f'{source} is found by the package huggingface_hub, which is not installed\n'
                         f'pip install huggingface_hub, {by_hand}') from None
    get = functools.partial(huggingface_hub.hf_hub_download, wanted.repository, revision=wanted.revision)
    try:
        path = get(wanted.file)
    except errors.GatedRepoError:
        raise InputError(f'{source}: its licence must be accepted first\nopen https://huggingface.co/{wanted.repository},'
                         f' accept it, log in (hf auth login) and try again, {by_hand}') from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise InputError(f'{source}: the hub has no {wanted.repository}'
                         + (f' at revision {wanted.revision}' if wanted.revision else '')
                         + f', or asks for a login\nlook at https://huggingface.co/{wanted.repository}') from None
    except errors.LocalEntryNotFoundError:
        raise InputError(f'{source}: neither in the cache ({_cache(huggingface_hub)}) nor reachable\n'
                         f'go online once, {by_hand}') from None
    except errors.EntryNotFoundError:
        raise InputError(f'{source}: {wanted.repository} has no {wanted.file}\n'
                         f'see https://huggingface.co/{wanted.repository}/tree/main, name one: {source}:FILE') from None
    except (OSError, ValueError, RuntimeError) as error:  # the network, a full disk, a proxy
        raise InputError(f'{source}: cannot be fetched ({str(error).partition(chr(10))[0]})\n'
                         f'try again, {by_hand}') from None
    print(f'{source}: {wanted.file} of {wanted.repository}, revision {_revision(path)}, licence {_licence(get, errors)}'
          f'\n  {path}', flush=True)
    return path


def _cache(huggingface_hub) -> str:
    return str(huggingface_hub.constants.HF_HUB_CACHE)


def _revision(path: str) -> str:
    """The commit of a cached file, by the folder that it lies in."""
    parts = Path(path).parts
    return parts[parts.index('snapshots') + 1][:12] if 'snapshots' in parts else 'unknown'


def _licence(get, errors) -> str:
    """What the header of the repository's README says."""
    try:
        header = Path(get('README.md')).read_text(errors='replace').partition('---')[2].partition('\n---')[0]
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.LocalEntryNotFoundError, OSError, ValueError):
        return 'unknown: see its page'
    found = {key: value.strip() for key, _, value in (line.partition(':') for line in header.splitlines())}
    name = found.get('license', '') or 'not stated'
    return found.get('license_name', name) if name == 'other' else name
