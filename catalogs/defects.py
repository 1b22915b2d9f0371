"""Why an input could not be handed over as CIF text: every code, what it means, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class DefectKind:
    """Meaning of a defect code, and a remedy, a sentence each."""

    meaning: str
    remedy: str


DEFECTS: dict[str, DefectKind] = {
    EMPTY_FILE: DefectKind(
        "The file, archive entry or table cell holds nothing but white space.",
        "Fetch it again from where it came; an interrupted copy or a full disk leaves such files.",
    ),
    NO_DATA_BLOCK: DefectKind(
        "The text has no `data_` line, so it is not a CIF, or it was cut before its first data block.",
        "Look at the file: often it is an error page of a web site saved under a CIF's name.",
    ),
    TRUNCATED_TEXT: DefectKind(
        "The text ends inside a text field: the closing semicolon is missing.",
        "Fetch the file again, or close the field with a line that begins with a semicolon.",
    ),
    BINARY_FILE: DefectKind(
        "The file holds bytes that no text has.",
        "If it is a compressed file, give it its proper ending (.cif.gz) or unpack it.",
    ),
    TOO_LARGE: DefectKind(
        "The text is longer, after decompression, than the catalog's `max_file_MB`, or has over 100,000 data blocks.",
        "Raise `max_file_MB` if the file is genuine; remove embedded diffraction data otherwise.",
    ),
    UNREADABLE_FILE: DefectKind(
        "The operating system would not read the file.",
        "Check its permissions, whether a link leads nowhere, and the disk.",
    ),
    ESCAPING_ENTRY: DefectKind(
        "The archive entry's name leads out of the archive's own folder.",
        "Distrust the archive; pack it again with relative names.",
    ),
    LINK_ENTRY: DefectKind(
        "The archive entry is a link, not a file; links in archives are not followed.",
        "Pack the archive again with the files themselves (tar --dereference --hard-dereference).",
    ),
    ENCRYPTED_ENTRY: DefectKind(
        "The archive entry is encrypted.",
        "Unpack the archive with its password and use the folder.",
    ),
    DAMAGED_ENTRY: DefectKind(
        "The entry or compressed file cannot be decompressed, or its checksum is wrong.",
        "Fetch it again from where it came.",
    ),
    DAMAGED_SOURCE: DefectKind(
        "The archive or table breaks off: what came before was read, what follows could not be.",
        "Fetch the archive or table again; its readable part stays valid.",
    ),
    NESTED_ARCHIVE: DefectKind(
        "An archive lies inside the catalog; it is not opened.",
        "Give it a [[catalog]] section of its own, unpacked first where it lies inside another archive.",
    ),
    NOT_FOUND: DefectKind(
        "The source was asked for this id and has no structure under it.",
        "Check the id; entries are withdrawn or replaced from time to time.",
    ),
}
