"""A proposal: the config that the rules decide, as an object, as lines for a person, and as a config file."""

from dataclasses import dataclass, field
from pathlib import Path

import ml_collections

from s4mim_jax.config import base, compose
from s4mim_jax.config.overrides import assign
from s4mim_jax.fitting import fingerprint, rules
from s4mim_jax.fitting.rules import Setting

FILE = 'config.py'
METHOD = 'METHOD'
USABLE = 0.5  # of the memory: the estimate is right to about a factor of two


@dataclass
class Proposal:
    """Attributes:
      found: the fingerprint. settings: what the rules decided, METHOD among them. user: (key, text) overrides.
      method: the method's argument, such as 'fixmatch_ema,tau=0.8'.
    """

    found: fingerprint.Fingerprint
    settings: list[Setting]
    user: list[tuple[str, str]] = field(default_factory=list)
    method: str = 'supervised'

    def set(self, key: str, value, why: str) -> None:
        """Adds a setting, in place of an earlier one of that key; what the user chose stays."""
        if key in dict(self.user):
            return
        self.settings = [s for s in self.settings if s.key != key] + [Setting(key, value, why)]

    def config(self, method: str | None = None) -> ml_collections.ConfigDict:
        """The whole config for a method's argument; None = the proposed one."""
        config = self._apply(base())
        config = compose(config, method or self.method, 'config.py')
        for setting in self.settings:
            if setting.key.startswith('method.'):
                _set(config, setting)
        for key, text in self.user:
            assign(config, key, text)
        return config.lock()

    def _apply(self, config):
        config.data.name, config.data.dir = self.found.name, self.found.dir
        for setting in self.settings:
            if setting.key != METHOD and not setting.key.startswith('method.'):
                _set(config, setting)
        return config

    def lines(self) -> list[str]:
        """One setting a line, with its reason."""
        width = max(len(f'{s.key} = {s.value}') for s in self.settings)
        own = [f'{f"{key} = {text}":{width}}  yours' for key, text in self.user]
        return [f'{f"{s.key} = {s.value}":{width}}  {s.why}' for s in self.settings] + own

    def source(self) -> str:
        """The text of a config file that `train --config=FILE[:METHOD]` takes."""
        body = [f'    config.data.name = {self.found.name!r}', f'    config.data.dir = {self.found.dir!r}']
        body += [f'    config.{s.key} = {s.value!r}  # {s.why}' for s in self.settings
                 if s.key != METHOD and not s.key.startswith('method.')]
        after = [f'    config.{s.key} = {s.value!r}  # {s.why}' for s in self.settings if s.key.startswith('method.')]
        own = [f'    assign(config, {key!r}, {text!r})' for key, text in self.user]
        imports = ['from s4mim_jax.config import base, compose'] + (
            ['from s4mim_jax.config.overrides import assign'] if own else [])
        told = [f'  {line}' for line in fingerprint.describe(self.found)]
        return '\n'.join(['"""Proposed by s4mim_jax.fit. Edit it; `train --config=THIS_FILE[:METHOD]` takes it.', '',
                          *told, '"""', '', *imports, '', '', 'def get_config(argument=None):', '    config = base()',
                          *body, f'    config = compose(config, argument, __file__, default={self.method!r})', *after,
                          *own, '    return config', ''])

    def write(self, folder: Path) -> Path:
        path = folder / FILE
        draft = path.with_suffix('.part')
        draft.write_text(self.source(), encoding='utf-8')
        draft.replace(path)
        return path


def _set(config, setting: Setting) -> None:
    *parents, key = setting.key.split('.')
    node = config
    for parent in parents:
        node = node[parent]
    node[key] = setting.value


def propose(folder, overrides=()) -> Proposal:
    """Looks at a dataset and decides everything but the number of steps.

    Args:
      folder: of the dataset. overrides: (dotted key, text); those of data.* are set before the dataset is opened.

    Raises:
      InputError: the dataset cannot be used, or an override is wrong.
    """
    config = base()
    config.data.name, config.data.dir = 'folder', str(folder)
    for key, text in overrides:
        assign(config, key, text)
    found = fingerprint.take(config)
    fixed = {key: _value(config, key) for key, _ in overrides}
    settings = rules.decide(found, fixed)
    proposal = Proposal(found, settings, list(overrides))
    proposal.method = next(s.value for s in settings if s.key == METHOD)
    fit_memory(proposal)
    return proposal


def fit_memory(proposal: Proposal) -> None:
    """Cuts the batch into micro-batches until a step fits the memory by its estimate."""
    from s4mim_jax.planning.hardware import step_bytes
    limit = USABLE * proposal.found.memory
    whole = needed = step_bytes(proposal.config(), len(proposal.found.classes))
    shares = proposal.config().batch.labeled // proposal.found.devices
    for accumulate in [parts for parts in range(2, shares + 1) if shares % parts == 0]:
        if not limit or needed < limit:
            return
        proposal.set('batch.accumulate', accumulate, f'a step needs about {whole / 2**30:.1f} GiB at once')
        needed = step_bytes(proposal.config(), len(proposal.found.classes))


def _value(config, dotted: str):
    node = config
    for part in dotted.split('.'):
        node = node[part]
    return tuple(node) if isinstance(node, list) else node
