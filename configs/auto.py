"""The proposal of `python -m s4mim_jax.fit` for `train`: looks at the images and at this machine.

`--config=configs/auto.py:fixmatch_ema --config.data.dir=FOLDER`; `minutes=60` after the method for another time than
30 minutes. Without a method: the one that the rules choose. Each start measures anew; `fit --plan_only` writes a config
file that stays, which is what several processes need.
"""

from s4mim_jax.fitting.automatic import automatic


def get_config(argument=None, overrides=()):
    return automatic(argument, overrides)
