"""Databases that ASE and LMDB themselves wrote."""
