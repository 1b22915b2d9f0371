"""Electron densities: reading, checking and resampling to 50^3 points."""
