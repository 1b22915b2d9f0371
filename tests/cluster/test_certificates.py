from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509

from cluster.certificates import CERTIFICATE, KEY, certificate_folder, make_certificate
from cluster.errors import ClusterError


def test_only_the_owner_may_read_what_workers_read(tmp_path: Path) -> None:
    with certificate_folder(tmp_path / "new") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE((folder / name).stat().st_mode) for name in (CERTIFICATE, KEY)] == [0o600, 0o600]
        assert (folder / KEY).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert list((tmp_path / "new").iterdir()) == []


def test_no_two_runs_share_a_key() -> None:
    assert make_certificate()[1] != make_certificate()[1]


def test_a_node_whose_clock_lags_accepts_the_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(make_certificate()[0].encode())
    now = dt.datetime.now(dt.UTC)
    assert certificate.not_valid_before_utc < now - dt.timedelta(hours=12)
    assert certificate.not_valid_after_utc > now + dt.timedelta(days=180)


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match="shared_directory"), certificate_folder(tmp_path / "file" / "below"):
        pass
