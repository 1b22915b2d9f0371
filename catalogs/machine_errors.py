"""Errors of reading that are the machine's, not the file's: nothing may be concluded from them about the file."""

from __future__ import annotations

import errno

_OF_THE_MACHINE = frozenset(
    {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN}
)


def is_of_the_machine(error: OSError) -> bool:
    """Return whether a disk, a file server or a limit of the system failed, so that reading must stop."""
    return error.errno in _OF_THE_MACHINE
