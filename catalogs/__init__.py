"""Sources of structures and densities: one module per kind of catalog, all yielding `Record`."""
