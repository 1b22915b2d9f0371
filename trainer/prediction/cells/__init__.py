"""Cells that explain the lines of a scan, searched near those that a network predicts."""
