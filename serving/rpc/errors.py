"""Errors of the link between the web process and a replica.

RpcError
├── ProtocolError              the peer sent bytes that are no valid frame or body
│   └── AuthenticationFailed   the peer did not prove that it knows the secret
├── ConnectionLost             the link is gone, or could not be made
└── InvalidAddress             neither unix:/path nor tcp:host:port, or not to be used so
"""


class RpcError(Exception):
    """Base of everything that can go wrong between the two ends of a link."""


class ProtocolError(RpcError):
    """Bytes that break the protocol; the message says what was expected and what came."""


class AuthenticationFailed(ProtocolError):
    """One end did not prove that it knows the secret; the message never holds any of it."""


class ConnectionLost(RpcError):
    """The stream ended, failed or never opened; nothing more will arrive on it."""


class InvalidAddress(RpcError, ValueError):
    """An address that cannot be dialled or bound."""
