"""The directory of the stack that this process belongs to, by its settings."""

from __future__ import annotations

from django.conf import settings

from core.redis.redis_client import redis_client
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.seals import Seal


def own_directory() -> Directory:
    return Directory(redis_client(), seal=Seal(settings.CLIPPER_CLUSTER_SECRET.encode()))
