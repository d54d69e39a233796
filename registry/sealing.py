"""Secrets as the database has them: readable only with the secret that the stack's hosts share."""

from __future__ import annotations

import base64
import hmac

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class Unsealable(Exception):
    """What was sealed under another secret, or is no sealed text."""


def seal(text: str) -> str:
    """Return the text encrypted and authenticated; "" for no text."""
    return _fernet().encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Return what was sealed. Raises Unsealable."""
    try:
        return _fernet().decrypt(sealed.encode()).decode() if sealed else ""
    except InvalidToken:
        raise Unsealable(
            "the version's secret can't be read: it was kept under another CLIPPER_CLUSTER_SECRET "
            "or DJANGO_SECRET_KEY; set it again"
        ) from None


def _fernet() -> Fernet:
    secret = settings.CLIPPER_CLUSTER_SECRET.encode()
    key = hmac.digest(secret, b"clipper.version-secrets", "sha256")
    return Fernet(base64.urlsafe_b64encode(key))
