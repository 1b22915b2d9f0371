"""Configuration: what a user may set, and which settings decide the bytes of a dataset."""
