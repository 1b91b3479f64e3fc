"""What a config leaves open is filled in once, before anything is compiled or written."""

from s4mim_jax.config.precision import with_precision
from s4mim_jax.runs.class_weights import with_class_weights
from s4mim_jax.runs.coherence import with_coherence_table


def resolve(config, source, labeled, stored_precision: str | None = None):
    """The config with S4MC's class table, class weights and precision as values; the same for the same data.

    Args:
      config: a whole config. source: data.Source. labeled: the labelled samples of the run.
      stored_precision: of the run that is continued, which holds on another machine too; None = a new run.

    Raises:
      InputError: class weights whose number is not that of the classes.
    """
    config = with_coherence_table(config, source, labeled)
    config = with_class_weights(config, source, labeled)
    return with_precision(config, stored_precision)
