"""Symmetric random crystals: made from a seed, space groups and counted statistics, without any source structure."""
