"""Tokens that prove for a few minutes that a host of the cluster said something: an HMAC."""

import hmac
import re

from core.errors import HOST_SCHEME, HostUnknown

LIFETIME_S = 300
# One secret, a key of its own for each use.
ARTIFACTS, CLIENTS = b"clipper.artifacts.1", b"clipper.clients.1"
_TOKEN = re.compile(rf"{HOST_SCHEME} (\d{{1,12}})\.([0-9a-f]{{64}})")


class HostTokens:
    """Makes and checks the tokens of one cluster, all of whose hosts have the same secret."""

    def __init__(self, secret: bytes, *, purpose: bytes) -> None:
        self._key = hmac.digest(secret, purpose, "sha256")

    def make(self, text: str, *, now: float) -> str:
        """Return the token, which is also an Authorization header; `now` is unix time."""
        expires = int(now) + LIFETIME_S
        return f"{HOST_SCHEME} {expires}.{self._mac(text, expires=expires)}"

    def check(self, token: str, *, text: str, now: float) -> None:
        """Raise HostUnknown unless it is a fresh token for this text."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise HostUnknown(f"Expected a token of a host of this cluster: {HOST_SCHEME} ...")
        expires, mac = int(parts[1]), parts[2]
        if not hmac.compare_digest(mac, self._mac(text, expires=expires)):
            raise HostUnknown(
                "The token is of another request, or made with another CLIPPER_CLUSTER_SECRET."
            )
        # One from the future is of a host whose clock is ahead; it would live too long.
        if not now <= expires <= now + 2 * LIFETIME_S:
            raise HostUnknown("The token has expired, or that host's clock is wrong.", now=now)

    def _mac(self, text: str, *, expires: int) -> str:
        return hmac.digest(self._key, f"{text}\n{expires}".encode(), "sha256").hex()
