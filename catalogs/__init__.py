"""Where structures and densities come from: one small module per kind of source, all yielding the same record."""
