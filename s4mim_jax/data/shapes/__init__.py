"""The embedded dataset: drawn by the package, 96x96, nine classes of objects on a ground."""
