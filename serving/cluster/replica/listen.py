"""The directory of replicas, and how those of this host are reached: read from the settings."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from infrastructure.redis_client import redis_client
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.seals import Seal
from serving.rpc.credentials import Credentials, replica_tls
from serving.rpc.listening import TcpListen


def own_directory() -> Directory:
    """Return the directory of this process's stack."""
    return Directory(redis_client(), seal=Seal(settings.CLIPPER_CLUSTER_SECRET.encode()))


def replica_listen() -> TcpListen | None:
    """None means Unix sockets, which nobody has told other hosts of."""
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
