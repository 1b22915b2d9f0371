"""Campaigns that `make stress` runs."""
