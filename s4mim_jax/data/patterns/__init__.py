"""The embedded dataset that the package's own pretrained start learns from: none of the things of `shapes`."""
