"""Deploy models to Clipper and ask it for predictions."""

from clipper_client.answers import Answer, FeedbackResult, Log, Release, Replica, Status, query_of
from clipper_client.async_client import AsyncClient
from clipper_client.async_session import AsyncSession
from clipper_client.client import Client
from clipper_client.errors import ClipperError, ClipperWarning
from clipper_client.session import Session

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
