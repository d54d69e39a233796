"""Deploy models to Clipper and ask it for predictions."""

from clipper_client.answers import Answer, FeedbackResult, Log, Release, Replica, Status, query_of
from clipper_client.clients import AsyncClient, Client
from clipper_client.clipper_error import ClipperError, ClipperWarning
from clipper_client.transport.session import AsyncSession, Session

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncSession",
    "Client",
    "ClipperError",
    "ClipperWarning",
    "FeedbackResult",
    "Log",
    "Release",
    "Replica",
    "Session",
    "Status",
    "query_of",
]
