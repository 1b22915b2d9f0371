"""Measured powder scans: files of diffractometers, and scans brought to an instrument. Reading needs only numpy."""
