"""Identification of measured scans by the structures of a dataset, whose cells may change."""
