"""What predict, export and load share: predictors, their loading, and the files that they write."""
