"""configs/auto.py: the proposal as the config of one training."""

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.methods import settings_of
from s4mim_jax.fitting import fingerprint, lengths
from s4mim_jax.fitting.proposal import propose
from s4mim_jax.fitting.timing import measure

MINUTES = 30.0


def automatic(argument: str | None, overrides=()):
    """Args:
      argument: METHOD, with settings behind commas, one of which may be minutes=60; None or '' = the rules' method.
      overrides: (dotted key, text) of the command line; data.dir names the dataset.

    Returns:
      the whole config, unlocked, with as many updates as fit the time.

    Raises:
      InputError: no dataset named, data that cannot be used, or a wrong setting.
    """
    method, settings = settings_of(argument or '')
    text = settings.pop('minutes', str(MINUTES))
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not minutes > 0:
        raise InputError(f'minutes={text} after the method: must be a number above 0')
    folder = dict(overrides).get('data.dir') or settings.get('dir') or settings.get('data.dir')
    if not folder:
        raise InputError('configs/auto.py looks at a dataset: name it by --config.data.dir=FOLDER')
    own = [(key, text) for key, text in overrides if key != 'data.dir']
    proposal = propose(folder, own + [(f'data.{key}', settings[key]) for key in ('split', 'name') if key in settings])
    if method:
        proposal.method = method
    timing = measure(proposal.config('supervised'))
    lengths.single(proposal, timing, 60 * minutes)
    for line in [*fingerprint.describe(proposal.found), '', *proposal.lines()]:
        print(line, flush=True)
    kept = [f'{key}={value}' for key, value in settings.items() if key not in ('dir', 'data.dir')]
    rest = ','.join([proposal.method, *kept])
    config = proposal.config(rest)
    config.unlock()
    return config
