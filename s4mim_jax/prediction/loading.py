"""`s4mim_jax.load`: a Predictor from a run folder or from an exported model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax

from s4mim_jax import models
from s4mim_jax.config.encoder_sizes import takes_padding
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluation.evaluator import local_mesh, network, place_variables
from s4mim_jax.evaluation.inference import class_values, window_values
from s4mim_jax.evaluation.own_size import decide
from s4mim_jax.prediction import exported
from s4mim_jax.prediction.predictor import Network, Predictor, Settings, settings_from
from s4mim_jax.runs import checkpoints, run_folder


def load(workdir, checkpoint='best', weights: str = 'teacher', overrides: Sequence[tuple[str, str]] = ()):
    """The model of a run, ready to use.

    Args:
      workdir: run folder that train has written, or a folder of `s4mim_jax.export`, which has one set of weights
        and settings of its own: checkpoint and weights are not asked for then.
      checkpoint: 'best', 'latest' or a step.
      weights: 'teacher' (the student where the run has no teacher), 'student', or 'better': of the two the one with
        the higher score on val when the training ended.
      overrides: (dotted config key, text) pairs, as `--config.KEY=TEXT` on the command line.

    Returns:
      a Predictor.

    Raises:
      InputError: no such run, checkpoint or weights; a config key with a value that is not valid.
    """
    if exported.is_export(workdir):
        return exported.load_export(workdir, overrides)
    config = run_folder.read_config(workdir, overrides)
    validate(config)
    run = run_folder.read_json(Path(workdir) / 'run.json')
    variables, step, weights = checkpoints.restore_weights(
        workdir, config, len(run['classes']), str(checkpoint), weights)
    settings, apply_fn = settings_from(config), network(config, len(run['classes']))
    variables = place_variables(variables, local_mesh(1))
    compiled = networks(apply_fn, variables, settings, takes_padding(config.model))
    return Predictor(compiled, settings, run['classes'], run['palette'], step, weights, config,
                     models.build_model(config, len(run['classes'])), variables)


def networks(apply_fn, variables, settings: Settings, padding: bool) -> Network:
    """The compiled functions of a network: `evaluation.ApplyFn`, its variables on their device.

    padding: whether its outputs stay what they are when images are padded, see `encoder_sizes.takes_padding`.
    """
    protocol = settings.protocol
    predict = jax.jit(lambda variables, images: class_values(apply_fn, variables, images, protocol))
    windows = jax.jit(lambda variables, windows: window_values(apply_fn, variables, windows, protocol))

    def whole(variables, images, seen, own, canvas, confidence):
        values = class_values(apply_fn, variables, images, protocol, seen)
        return decide(values, own, canvas, protocol.align_corners, seen=seen,
                      confidence=protocol.kind if confidence else None)

    padded = None
    if padding and protocol.mode == 'whole' and not protocol.augmented:
        padded = partial(jax.jit(whole, static_argnums=(4, 5)), variables)
    return Network(partial(predict, variables), partial(windows, variables), padded)
