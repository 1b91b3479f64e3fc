"""Reports on finished runs: reading run folders, numbers, plots and the page. JAX comes with the predictions only."""
