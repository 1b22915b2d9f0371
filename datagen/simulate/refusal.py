"""Errors of crystals that have no pattern: properties of the input, which the caller stores as reasons."""

from __future__ import annotations


class Unsimulable(ValueError):  # noqa: N818 - a property of the crystal, not a failure of the machinery
    """A crystal that cannot be simulated; `reason` is the code."""

    reason = "unsimulable"


class NoReflections(Unsimulable):
    """No reflection is inside the instrument's range."""

    reason = "no_reflections"


class NoFormFactor(Unsimulable):
    """A species without tabulated form factor: not an element, or beyond californium."""

    reason = "no_form_factor"
