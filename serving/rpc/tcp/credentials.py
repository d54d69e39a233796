"""Credentials on TCP: the cluster's secret, and TLS if it is set up."""

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from serving.rpc.frames.codec import HEADER
from serving.rpc.frames.hello import Hello, encode_hello
from serving.rpc.tcp.handshake import NONCE_BYTES, ContainerHandshake, Handshake, WebHandshake


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The handshake and TLS of a stream before it becomes a connection."""

    new_handshake: Callable[[], Handshake]
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One process's: the shared secret, and a TLS context of its role or None for plain TCP."""

    secret: bytes = field(repr=False)
    tls: ssl.SSLContext | None = None

    def of(self, hello: Hello) -> Authentication:
        """Return how the replica of this HELLO admits web processes."""
        body = encode_hello(hello)[HEADER.size :]
        return Authentication(
            new_handshake=lambda: ContainerHandshake(
                secret=self.secret, replica=hello.replica, hello=body, nonce=_nonce()
            ),
            tls=self.tls,
        )

    def to(self, replica: str) -> Authentication:
        """Return how this replica admits a web process."""
        return Authentication(
            new_handshake=lambda: WebHandshake(secret=self.secret, replica=replica, nonce=_nonce()),
            tls=self.tls,
        )


def replica_tls(*, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a replica; raises OSError, ssl.SSLError among them, for bad files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Without a password an encrypted key would be asked for at the terminal.
    context.load_cert_chain(certificate, key, password="")
    return context


def web_tls(*, authority: Path) -> ssl.SSLContext:
    """Return the context of a web process: certificates of this CA, for the host it dials, only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    return context


def _nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)
