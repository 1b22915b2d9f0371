"""Subsets, merges, comparisons and publications of finished datasets."""
