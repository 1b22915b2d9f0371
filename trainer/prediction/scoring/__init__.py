"""Scores of models on measured scans."""
