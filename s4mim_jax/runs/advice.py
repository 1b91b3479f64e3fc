"""What a run says of its config before it begins, and of itself while it could still be changed."""

from s4mim_jax.config.encoder_sizes import feature_stride
from s4mim_jax.models.deeplabv3plus import without_reach
from s4mim_jax.training import passes

FEW_KEPT = 0.1  # share of the pixels below which pseudo-labels teach next to nothing
# Share of the run after which it is looked at: in the quickstart 1 % reach tau until step 150 of 1,500, and 63 % until
# step 300.
AFTER = 0.25
# Sides of the map below which few classes of an image have a hidden and a visible position: of 4 x 4, 9 % of the
# (image, class) pairs of `shapes` had, of 8 x 8, 84 %.
FEW_POSITIONS = 8


def warnings(config) -> list[str]:
    """A line for each setting that leaves a part of the network or of the method without effect (ours)."""
    stride, crop, found = feature_stride(config.model), tuple(config.data.crop), []
    rates = without_reach(config.model, crop)
    if rates:
        one = len(rates) == 1
        found.append(f'--config.model.aspp_rates={tuple(config.model.aspp_rates)}: rate{"" if one else "s"} '
                     f'{", ".join(map(str, rates))} {"is" if one else "are"} not below the side of the map of a crop '
                     f'{crop} at stride {stride}; {"its" if one else "their"} outer taps learn nothing')
    side = min(-(-n // stride) for n in crop)
    for term in ('class_wise_mim', 'feature_aggregation'):
        if config.method[term] and side < FEW_POSITIONS:
            found.append(f'--config.method.{term}={config.method[term]:g}: the map of a crop {crop} at stride {stride} '
                         f'has {side} positions a side; few classes of an image are both hidden and visible there; '
                         'try --config.model.output_stride=8 or a larger crop')
    return found


def few_kept(config, completed: int, kept: float | None) -> str | None:
    """A line where hardly any pseudo-label passes tau, else None.

    The first quarter of the run and its warm-up are no reason to speak: a young network is sure of little.

    Args:
      config: whole config. completed: updates so far. kept: share of the valid pixels that passed, of the updates
        since the log before, all of which must lie behind that quarter; None = not counted.
    """
    learns = passes.passes_of(config.method).unlabeled and config.method.selection.threshold == 'confidence'
    if kept is None or not learns or kept >= FEW_KEPT:
        return None
    start = max(AFTER * config.total_steps, config.optimizer.warmup_steps)
    if completed - config.log.every < start and completed < config.total_steps:  # at the end it is said in any case
        return None
    return (f'warning: {100 * kept:.0f} % of the pseudo-label pixels reach method.tau={config.method.tau:g}, so the '
            'unlabelled images teach little\n  lower --config.method.tau, train longer, or begin with a labelled-only '
            'run (--config.model.pretrained=RUN)')
