"""The addresses at which replicas of this host listen, by the settings."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from serving.rpc.tcp.credentials import Credentials, replica_tls
from serving.rpc.tcp.tcp_listen import TcpListen


def replica_listen() -> TcpListen | None:
    """Return None for Unix sockets, which other hosts can't reach."""
    if not settings.CLIPPER_ADVERTISE_HOST:
        return None
    certificate, key = settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY
    return TcpListen(
        advertise_host=settings.CLIPPER_ADVERTISE_HOST,
        bind_host=settings.CLIPPER_BIND_HOST,
        ports=settings.CLIPPER_REPLICA_PORTS,
        credentials=Credentials(
            secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
            tls=replica_tls(certificate=Path(certificate), key=Path(key)) if certificate else None,
        ),
    )
