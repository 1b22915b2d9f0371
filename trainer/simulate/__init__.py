"""Simulation on the device: broadening, drawn parameters, strain and noise."""
