"""Structures whose simulation fails, crashes or hangs, with reasons, by structure hash."""

from __future__ import annotations

import json
from pathlib import Path

from datagen.errors import StoreError
from datagen.store import files

FILE = "quarantine.json"


class Quarantine:
    """Quarantined structures by structure hash; every addition is on disk before it takes effect."""

    def __init__(self, work: Path) -> None:
        self._path = work / FILE
        try:
            self._entries: dict[str, dict[str, str]] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._entries = {}
        except ValueError as error:
            raise StoreError(
                f"{self._path}: expected quarantined structures as JSON, found something else ({error}); "
                "delete the file and re-run the same command, which finds them again"
            ) from error

    def __contains__(self, structure_hash: str) -> bool:
        return structure_hash in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, structure_hash: str, source_id: str, reason: str, detail: str) -> None:
        """Quarantine a structure."""
        self._entries[structure_hash] = {"source_id": source_id, "reason": reason, "detail": detail}
        self._write()

    def release(self, reason: str) -> int:
        """Release the structures of this reason, so that they are tried again; return their number."""
        kept = {h: entry for h, entry in self._entries.items() if entry["reason"] != reason}
        released = len(self._entries) - len(kept)
        self._entries = kept
        if released:
            self._write()
        return released

    def reason_of(self, structure_hash: str) -> tuple[str, str] | None:
        """Return reason and detail."""
        entry = self._entries.get(structure_hash)
        return None if entry is None else (entry["reason"], entry["detail"])

    def reasons(self) -> list[tuple[str, str]]:
        """Return source id and reason of each."""
        return sorted((entry["source_id"], entry["reason"]) for entry in self._entries.values())

    def _write(self) -> None:
        files.write_bytes(self._path, files.to_json(dict(sorted(self._entries.items()))))
