"""System checks of the settings: each wrong one has an id and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured

from core.redis.redis_client import redis_client
from registry.artifacts.backends import artifact_storage
from serving.container.sandbox.confined import has_landlock
from serving.rpc.tcp.credentials import replica_tls, web_tls

# The tag of the checks that commands of ours ask for (registry.management.base).
OF_SETTINGS = "settings"
# Whoever overhears a handshake can try secrets out at leisure: it has to be past guessing.
SHORTEST_SECRET = 32
TLS_HINT = (
    "Set CLIPPER_TLS_CERT and CLIPPER_TLS_KEY where replicas run and CLIPPER_TLS_CA on every host, "
    "or none of them; docs/how-to/operations.md says how the files are made."
)


@register(OF_SETTINGS)
def environment_is_readable(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    return [
        Error(
            f"{wrong.name} is {wrong.value!r}; expected {wrong.expected}.",
            hint=f"Set {wrong.name} to {wrong.expected}, or unset it for the default.",
            id="clipper.E001",
        )
        for wrong in settings.ENV.wrong
    ]


@register(OF_SETTINGS)
def secret_key_is_given(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.SECRET_KEY_GIVEN:
        return []
    return [
        Error(
            "DJANGO_SECRET_KEY is not set.",
            hint="Set it to at least 50 random characters; `make run` keeps one in its VAR folder.",
            id="clipper.E002",
        )
    ]


@register(OF_SETTINGS)
def cluster_secret_is_long(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if len(settings.CLIPPER_CLUSTER_SECRET) >= SHORTEST_SECRET:
        return []
    return [
        Error(
            f"CLIPPER_CLUSTER_SECRET has fewer than {SHORTEST_SECRET} characters.",
            hint="Set it to the output of `openssl rand -hex 32`, the same on every host.",
            id="clipper.E003",
        )
    ]


@register(OF_SETTINGS)
def tls_is_complete(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    certificate, key = settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY
    authority = settings.CLIPPER_TLS_CA
    if bool(certificate) != bool(key):
        given, missing = ("CERT", "KEY") if certificate else ("KEY", "CERT")
        wrong = f"CLIPPER_TLS_{given} is set, but CLIPPER_TLS_{missing} is not."
    elif certificate and not authority:
        wrong = "CLIPPER_TLS_CERT is set, but CLIPPER_TLS_CA is not: no web process would dial TLS."
    elif authority and not certificate and settings.CLIPPER_ADVERTISE_HOST:
        wrong = "CLIPPER_TLS_CA is set, but CLIPPER_TLS_CERT is not: replicas would not speak TLS."
    else:
        return []
    return [Error(wrong, hint=TLS_HINT, id="clipper.E004")]


@register(OF_SETTINGS)
def tls_files_are_usable(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    wrong: list[CheckMessage] = []
    certificate, key = settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY
    if certificate and key:
        try:
            replica_tls(certificate=Path(certificate), key=Path(key))
        except OSError as error:
            wrong.append(_unusable("CLIPPER_TLS_CERT and CLIPPER_TLS_KEY", error=error))
    if settings.CLIPPER_TLS_CA:
        try:
            web_tls(authority=Path(settings.CLIPPER_TLS_CA))
        except OSError as error:
            wrong.append(_unusable("CLIPPER_TLS_CA", error=error))
    return wrong


@register(OF_SETTINGS)
def packages_come_from_somewhere(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.CLIPPER_PIP_WHEELHOUSE or not settings.CLIPPER_PIP_NO_INDEX:
        return []
    return [
        Error(
            "CLIPPER_PIP_NO_INDEX is set, but CLIPPER_PIP_WHEELHOUSE is not: no package that a "
            "version requires could be had.",
            hint="Set CLIPPER_PIP_WHEELHOUSE to a folder of wheels, or unset CLIPPER_PIP_NO_INDEX.",
            id="clipper.E007",
        )
    ]


@register()
def artifacts_can_be_kept(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    try:
        artifact_storage()
    except (ImproperlyConfigured, TypeError) as error:  # an option that it doesn't take
        return [
            Error(
                f"The storage of artifacts can't be used: {error}",
                hint="See docs/how-to/operations.md, or unset CLIPPER_S3_BUCKET and "
                "CLIPPER_ARTIFACTS_BACKEND to keep them in a folder.",
                id="clipper.E006",
            )
        ]
    return []


def _unusable(names: str, *, error: OSError) -> CheckMessage:
    return Error(
        f"{names} cannot be used: {error}.",
        hint="Name PEM files that this user may read; the key belongs to the certificate.",
        id="clipper.E005",
    )


@register(OF_SETTINGS)
def tcp_settings_have_an_effect(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.CLIPPER_ADVERTISE_HOST:
        return []
    return [
        Warning(
            f"{name} has no effect without CLIPPER_ADVERTISE_HOST.",
            hint="Set CLIPPER_ADVERTISE_HOST to the name at which other hosts reach this one.",
            id="clipper.W001",
        )
        for name in ("CLIPPER_BIND_HOST", "CLIPPER_REPLICA_PORTS")
        if settings.ENV.text(name)
    ]


@register(OF_SETTINGS, deploy=True)
def redis_has_a_limit(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        memory = redis_client().info("memory")
    except redis.RedisError:
        return []  # it may be started later
    if memory.get("maxmemory"):
        return []
    return [
        Warning(
            "The Redis of REDIS_URL has no limit of memory (maxmemory 0).",
            hint="Set its maxmemory: near it feedback is refused, and nothing is lost.",
            id="clipper.W003",
        )
    ]


@register(OF_SETTINGS, deploy=True)
def models_can_be_confined(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if has_landlock():
        return []
    # No warning: that is for what settings can mend, and fails the checks of a project's code too.
    return [
        Info(
            "This kernel has no Landlock: files and processes are not kept from models.",
            hint="Use Linux 5.13 or newer, or a user and a container of the stack's own.",
            id="clipper.I004",
        )
    ]
