"""Steps of a run, each restartable."""
