"""Patterns that GSAS-II computed, for machines without it."""
