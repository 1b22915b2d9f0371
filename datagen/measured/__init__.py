"""Measured patterns with truths: which scans of a collection can be used, and the reason for each that cannot."""
