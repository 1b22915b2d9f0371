"""Errors of clusters: each message says what, where, expected, found, and what to do."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster could not be reached, could not be started, or has gone away."""
