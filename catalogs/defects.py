"""Defects: reasons for which an input yields no CIF text."""

from __future__ import annotations

from catalogs.reason import Reason

EMPTY_FILE = "empty_file"
NO_DATA_BLOCK = "no_data_block"
TRUNCATED_TEXT = "truncated_text"
BINARY_FILE = "binary_file"
TOO_LARGE = "too_large"
UNREADABLE_FILE = "unreadable_file"
ESCAPING_ENTRY = "escaping_entry"
LINK_ENTRY = "link_entry"
ENCRYPTED_ENTRY = "encrypted_entry"
DAMAGED_ENTRY = "damaged_entry"
DAMAGED_SOURCE = "damaged_source"
NESTED_ARCHIVE = "nested_archive"
NOT_FOUND = "not_found"


_DEFECTS = (
    Reason(
        EMPTY_FILE,
        "The file, archive entry or table cell holds nothing but white space.",
        "Fetch it again from where it came; an interrupted copy or a full disk leaves such files.",
    ),
    Reason(
        NO_DATA_BLOCK,
        "The text has no `data_` line, so it is not a CIF, or it was cut before its first data block.",
        "Look at the file: often it is an error page of a web site saved under a CIF's name.",
    ),
    Reason(
        TRUNCATED_TEXT,
        "The text ends inside a text field: the closing semicolon is missing.",
        "Fetch the file again, or close the field with a line that begins with a semicolon.",
    ),
    Reason(
        BINARY_FILE,
        "The file holds bytes that no text has.",
        "If it is a compressed file, give it its proper ending (.cif.gz) or unpack it.",
    ),
    Reason(
        TOO_LARGE,
        "The text is longer, after decompression, than the catalog's `max_file_MB`, or has over 100,000 data blocks.",
        "Raise `max_file_MB` if the file is genuine; remove embedded diffraction data otherwise.",
    ),
    Reason(
        UNREADABLE_FILE,
        "The operating system would not read the file.",
        "Check its permissions, whether a link leads nowhere, and the disk.",
    ),
    Reason(
        ESCAPING_ENTRY,
        "The archive entry's name leads out of the archive's own folder.",
        "Distrust the archive; pack it again with relative names.",
    ),
    Reason(
        LINK_ENTRY,
        "The archive entry is a link, not a file; links in archives are not followed.",
        "Pack the archive again with the files themselves (tar --dereference --hard-dereference).",
    ),
    Reason(
        ENCRYPTED_ENTRY,
        "The archive entry is encrypted.",
        "Unpack the archive with its password and use the folder.",
    ),
    Reason(
        DAMAGED_ENTRY,
        "The entry or compressed file cannot be decompressed, or its checksum is wrong.",
        "Fetch it again from where it came.",
    ),
    Reason(
        DAMAGED_SOURCE,
        "The archive or table breaks off: what came before was read, what follows could not be.",
        "Fetch the archive or table again; its readable part stays valid.",
    ),
    Reason(
        NESTED_ARCHIVE,
        "An archive lies inside the catalog; it is not opened.",
        "Give it a [[catalog]] section of its own, unpacked first where it lies inside another archive.",
    ),
    Reason(
        NOT_FOUND,
        "The source was asked for this id and has no structure under it.",
        "Check the id; entries are withdrawn or replaced from time to time.",
    ),
)

DEFECTS: dict[str, Reason] = {reason.code: reason for reason in _DEFECTS}
"""Every defect by its code."""
