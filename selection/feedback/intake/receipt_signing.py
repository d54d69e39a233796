"""The secrets that sign receipts, from Django's settings."""

from django.conf import settings

from selection.receipts import FormerSecret, ReceiptSigner, derive_key


def former_secret() -> FormerSecret | None:
    """Return what signed receipts before the present key did, where that is still known."""
    changed_at = settings.SECRET_KEY_CHANGED_AT
    if not settings.SECRET_KEY_PREVIOUS or changed_at is None:
        return None
    return FormerSecret(
        key=derive_key(settings.SECRET_KEY_PREVIOUS), until_ms=int(changed_at.timestamp() * 1000)
    )


def receipt_signer() -> ReceiptSigner:
    return ReceiptSigner(derive_key(settings.SECRET_KEY), former=former_secret())
