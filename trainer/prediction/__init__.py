"""Predictions for measured patterns."""
