"""Runs that start from a finished dataset: the same structures for another instrument, and further structures."""
