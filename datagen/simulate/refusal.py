"""Why a crystal can have no pattern: properties of the input, which the caller turns into a row with a reason."""

from __future__ import annotations


class Unsimulable(ValueError):  # noqa: N818 - a property of the crystal, not a failure of the machinery
    """The crystal cannot be simulated; `reason` is its code."""

    reason = "unsimulable"


class NoReflections(Unsimulable):
    """No reflection lies inside the instrument's range."""

    reason = "no_reflections"


class NoFormFactor(Unsimulable):
    """A species whose scattering is not tabulated: no element, or one beyond californium."""

    reason = "no_form_factor"
