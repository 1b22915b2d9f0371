"""Defects: reasons for which an input yields no structure's text."""

from __future__ import annotations

from catalogs.reason import Reason

EMPTY_FILE = "empty_file"
NO_DATA_BLOCK = "no_data_block"
NO_STRUCTURE = "no_structure"
BAD_JSON = "bad_json"
TRUNCATED_TEXT = "truncated_text"
BINARY_FILE = "binary_file"
TOO_LARGE = "too_large"
UNREADABLE_FILE = "unreadable_file"
ESCAPING_ENTRY = "escaping_entry"
LINK_ENTRY = "link_entry"
ENCRYPTED_ENTRY = "encrypted_entry"
DAMAGED_ENTRY = "damaged_entry"
DAMAGED_SOURCE = "damaged_source"
UNSAFE_FILE = "unsafe_file"
NESTED_ARCHIVE = "nested_archive"
NOT_FOUND = "not_found"
NOT_GENERATED = "not_generated"


_DEFECTS = (
    Reason(
        EMPTY_FILE,
        "The file, archive entry or table cell contains only white space.",
        "Copy it from its source again; an interrupted copy or a full disk leaves such files.",
    ),
    Reason(
        NO_DATA_BLOCK,
        "The text has no `data_` line, so it is not a CIF, or it was cut before its first data block.",
        "Open the file: often it is an error page of a web site saved under a CIF's name.",
    ),
    Reason(
        NO_STRUCTURE,
        "The JSON, XYZ or database file has no structure at this place.",
        "Read the format it should have in docs/structures.md, and correct the file or exclude it.",
    ),
    Reason(
        BAD_JSON,
        "The text of a JSON file is not JSON, or is nested too deeply.",
        "Fetch the file again if it was cut; exclude it if it is no file of structures.",
    ),
    Reason(
        TRUNCATED_TEXT,
        "The text ends too early: inside a text field of a CIF, or before all announced atoms.",
        "Fetch the file again; a CIF's text field ends with a line that begins with a semicolon.",
    ),
    Reason(
        BINARY_FILE,
        "The file contains bytes that are not text.",
        "If it is a compressed file, give it the suffix .cif.gz or unpack it.",
    ),
    Reason(
        TOO_LARGE,
        "The text is longer, after decompression, than the catalog's `max_file_MB`, or has over 100,000 data blocks.",
        "Raise `max_file_MB` if the file is genuine; remove embedded diffraction data otherwise.",
    ),
    Reason(
        UNREADABLE_FILE,
        "The operating system cannot read the file.",
        "Check its permissions, broken links, and the disk.",
    ),
    Reason(
        ESCAPING_ENTRY,
        "The archive entry's name leads out of the archive's own folder.",
        "Do not trust the archive; pack it again with relative names.",
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
        "Copy it from its source again.",
    ),
    Reason(
        DAMAGED_SOURCE,
        "The archive or table is damaged: what precedes the damage was read, the rest was not.",
        "Fetch the archive or table again; its readable part stays valid.",
    ),
    Reason(
        UNSAFE_FILE,
        "The file holds Python pickles, which can run any code when they are read.",
        "Where you trust it, load it with the program that wrote it and save its structures in another format.",
    ),
    Reason(
        NESTED_ARCHIVE,
        "The catalog contains an archive that is not opened: of a kind that is not read, or inside another archive.",
        "Give it a [[catalog]] section of its own, unpacked first if it is inside another archive.",
    ),
    Reason(
        NOT_FOUND,
        "The source has no structure with this id.",
        "Check the id; entries are withdrawn or replaced from time to time.",
    ),
    Reason(
        NOT_GENERATED,
        "No random crystal of the group drawn kept the distances and symmetry that it should have.",
        "Raise the catalog's `max_atoms`, or list other `space_groups` or `elements`.",
    ),
)

DEFECTS: dict[str, Reason] = {reason.code: reason for reason in _DEFECTS}
"""Every defect by its code."""
