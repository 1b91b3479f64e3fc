"""What a config leaves open is filled in once, before anything is compiled or written."""

from s4mim_jax.config.precision import with_precision
from s4mim_jax.planning.class_weights import with_class_weights
from s4mim_jax.planning.coherence import with_coherence_table, with_some_table


def resolve(config, source, labeled=(), stored_precision: str | None = None, *, num_classes: int | None = None,
            platform: str | None = None):
    """The config with S4MC's class table, class weights and precision as values; the same for the same data.

    Args:
      config: a whole config. source: data.Source; None where a run is planned without its data: the class table then
        has its size, and values that change nothing of what is compiled.
      labeled: the labelled samples of the run.
      stored_precision: of the run that is continued, which holds on another machine too; None = a new run.
      num_classes: where there is no source. platform: that precision=auto is decided for, None = where JAX runs.

    Raises:
      InputError: class weights whose number is not that of the classes.
    """
    if source is None:
        config = with_some_table(config, num_classes)
    else:
        config = with_coherence_table(config, source, labeled)
        config = with_class_weights(config, source, labeled)
    return with_precision(config, stored_precision, platform)
