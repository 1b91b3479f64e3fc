"""S4MC on FixMatch (arXiv 2308.13900): neighbour union and dynamic partition decide what is kept.

Added to a host: `unimatch+s4mc`. Switches: `selection.refinement=none` keeps the partition alone,
`selection.threshold=margin` the refinement alone, `selection.matched=unrefined` is the control that
keeps as many pixels by their raw margin. The setting that docs/evidence.md measures is the whole of the 2023 code,
with a class table and four neighbours: `selection.refinement=coherence,selection.connectivity=4,selection.decay=0.5`.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5)
    extend(config)


def extend(config):
    # What is divided by belongs to the partition in the 2023 code; by the valid pixels the loss would be weakest
    # where the filter is strictest (docs/evidence.md).
    config.method.selection.update(refinement='union', threshold='partition', alpha=0.4, normalizer='kept_squared')
