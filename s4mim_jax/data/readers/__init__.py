"""One file a dataset: a place on disk becomes a `Source`."""
