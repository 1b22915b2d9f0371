"""Least squares of a structure, or a cell, against a measured scan."""
