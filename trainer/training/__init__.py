"""Training: configuration, loop, losses, checkpoints."""
