"""S4MC on FixMatch (arXiv 2308.13900): neighbour union and dynamic partition decide what is kept.

Added to a host: `unimatch+s4mc`. Switches: `selection.refinement=none` keeps the partition alone,
`selection.threshold=margin` the refinement alone, `selection.matched=unrefined` is the control that
keeps as many pixels by their raw margin.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5)
    extend(config)


def extend(config):
    config.method.selection.update(refinement='union', threshold='partition', alpha=0.4)
