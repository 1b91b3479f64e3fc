"""Own images in one call: a fingerprint of the dataset, rules that turn it into a config, and the runs that follow."""
