"""Trains AlphaDiffract and CrystalNet from a dataset; knows only torch, numpy and zarr."""
