"""Measured scans: file formats and axes."""
