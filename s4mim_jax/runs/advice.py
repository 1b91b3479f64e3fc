"""What a config can do and probably should not: lines that a run prints before it begins."""

from s4mim_jax.config.encoder_sizes import feature_stride
from s4mim_jax.models.deeplabv3plus import without_reach

# Sides of the map below which few classes of an image have a hidden and a visible position: of 4 x 4, 9 % of the
# (image, class) pairs of `shapes` had, of 8 x 8, 84 %.
FEW_POSITIONS = 8


def warnings(config) -> list[str]:
    """A line for each setting that leaves a part of the network or of the method without effect (ours)."""
    stride, crop, found = feature_stride(config.model), tuple(config.data.crop), []
    for rate in without_reach(config.model, crop):
        found.append(f'--config.model.aspp_rates={tuple(config.model.aspp_rates)}: rate {rate} is not below the side of '
                     f'the map of a crop {crop} at stride {stride}; its outer taps learn nothing')
    side = min(-(-n // stride) for n in crop)
    for term in ('class_wise_mim', 'feature_aggregation'):
        if config.method[term] and side < FEW_POSITIONS:
            found.append(f'--config.method.{term}={config.method[term]:g}: the map of a crop {crop} at stride {stride} '
                         f'has {side} positions a side; few classes of an image are both hidden and visible there; '
                         'try --config.model.output_stride=8 or a larger crop')
    return found
