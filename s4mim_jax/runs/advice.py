"""What a run says of itself while it could still be changed."""

from s4mim_jax.training import passes

FEW_KEPT = 0.1  # share of the pixels below which pseudo-labels teach next to nothing
AFTER = 0.1  # share of the run from which on it is said


def few_kept(config, completed: int, kept: float | None) -> str | None:
    """A line where hardly any pseudo-label passes tau, else None.

    Args:
      config: whole config. completed: updates so far. kept: share of the valid pixels that passed, None = not counted.
    """
    learns = passes.plan(config.method).unlabeled and config.method.selection.threshold == 'confidence'
    if kept is None or not learns or kept >= FEW_KEPT or completed < AFTER * config.total_steps:
        return None
    return (f'warning: {100 * kept:.0f} % of the pseudo-label pixels reach method.tau={config.method.tau:g}, so the '
            'unlabelled images teach little\n  lower --config.method.tau, train longer, or begin with a labelled-only '
            'run (--config.model.pretrained=RUN)')
