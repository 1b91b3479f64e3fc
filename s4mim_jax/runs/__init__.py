"""What a run is on disk and in time: loop, feed, run folder, checkpoints, monitoring."""
