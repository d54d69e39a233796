"""Certificates for tests of TLS, made with the openssl of this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA in a folder of its own, which signs certificates."""

    folder: Path
    name: str

    @classmethod
    def new(cls, folder: Path, *, name: str) -> Authority:
        made = cls(folder=folder, name=name)
        _new_certificate(name, made.certificate, made.key, "keyUsage=critical,keyCertSign,cRLSign")
        return made

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.key"

    def sign(self, *, host: str) -> tuple[Path, Path]:
        """Return certificate and key of a replica's host, an IP address."""
        stem = self.folder / f"{self.name}-{host}"
        key, certificate = stem.with_suffix(".key"), stem.with_suffix(".crt")
        by = ("-CA", self.certificate, "-CAkey", self.key, "-addext", "basicConstraints=CA:FALSE")
        _new_certificate(host, certificate, key, f"subjectAltName=IP:{host}", *by)
        return certificate, key

    @staticmethod
    def lock(key: Path, *, into: Path) -> None:
        """Write a copy of a key that needs a password."""
        _openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", into)


def _new_certificate(name: str, at: Path, key: Path, extension: str, *by: str | Path) -> None:
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "30", "-subj", f"/CN={name}", "-keyout", key, "-out", at),
        *("-addext", extension, *by),
    )


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    assert program, "openssl isn't installed: install it (apt-get install openssl)"
    done = subprocess.run([program, *arguments], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
