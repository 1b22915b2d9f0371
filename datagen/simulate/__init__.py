"""Pattern simulation: crystal and instrument to sticks, sticks and augmentations to patterns."""
