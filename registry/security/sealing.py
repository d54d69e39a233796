"""Secrets encrypted in the database; the import takes 1.5 MiB, so it waits for the first."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class Unsealable(Exception):
    """The text was sealed under another secret, or never."""


def seal(text: str) -> str:
    """Return the text encrypted and authenticated; "" for no text."""
    return _fernet().encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Return what was sealed. Raises Unsealable."""
    if not sealed:
        return ""
    from cryptography.fernet import InvalidToken

    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unsealable(
            "the secret can't be read: it was kept under another CLIPPER_CLUSTER_SECRET "
            "or DJANGO_SECRET_KEY; set it again"
        ) from None


def _fernet() -> Fernet:
    from cryptography.fernet import Fernet

    secret = settings.CLIPPER_CLUSTER_SECRET.encode()
    key = hmac.digest(secret, b"clipper.version-secrets", "sha256")
    return Fernet(base64.urlsafe_b64encode(key))
