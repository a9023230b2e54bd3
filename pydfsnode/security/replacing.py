"""Replacing certificate and key, two files, so that after a crash they fit together.

The new key comes first, beside the old one; then the certificate takes its place, then the key.
Whoever starts in between finishes that.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid
from pydfsnode.security.files import replace_file, sync_directory


def replace_certificate(files: TlsFiles, chain_pem: bytes, key_pem: bytes) -> None:
    """Put a new certificate and its key in place, durably; blocking.

    Raises:
        OSError: nothing has changed, or `finish_replacement` completes it.
    """
    key = Path(files.key)
    coming = _coming(key)
    replace_file(coming, key_pem, 0o600)
    replace_file(Path(files.cert), chain_pem, 0o644)
    _take(coming, key)


def finish_replacement(files: TlsFiles) -> None:
    """Complete what a crash cut short; costs a look at the directory when there is nothing."""
    key = Path(files.key)
    coming = _coming(key)
    if not coming.exists():
        return
    from pydfsnode.security import pem

    try:
        leaf = pem.load_certificates(Path(files.cert), "certificate")[0]
        pem.check_key_matches(leaf, pem.load_private_key(coming), Path(files.cert), coming)
    except CertificateInvalid:
        coming.unlink(missing_ok=True)  # the certificate never came: the old pair is whole
    else:
        _take(coming, key)


def _coming(key: Path) -> Path:
    return key.with_name(f"{key.name}.next")


def _take(coming: Path, key: Path) -> None:
    os.replace(coming, key)
    sync_directory(key.parent)
