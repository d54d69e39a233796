"""System checks of the settings: each wrong one has an id and a hint."""

from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured

from core.redis.redis_client import redis_client
from registry.artifacts.artifact_store import artifact_storage
from serving.container.sandbox.confined import has_landlock
from serving.rpc.tcp.credentials import replica_tls, web_tls

# The tag of the checks that commands of ours ask for (registry.management.clipper_command).
OF_SETTINGS = "settings"
TLS_HINT = (
    "Set CLIPPER_TLS_CERT and CLIPPER_TLS_KEY where replicas run and CLIPPER_TLS_CA on every host, "
    "or none of them; docs/how-to/operations.md says how the files are made."
)

Findings = Iterator[CheckMessage]


def check(
    *tags: str, deploy: bool = False
) -> Callable[[Callable[[], Findings]], Callable[[], Findings]]:
    """Register a check that yields what it finds wrong."""

    def registered(find: Callable[[], Findings]) -> Callable[[], Findings]:
        register(lambda app_configs, **options: list(find()), *tags, deploy=deploy)
        return find

    return registered


@check(OF_SETTINGS)
def environment_is_readable() -> Findings:
    for wrong in settings.ENV.wrong:
        yield Error(
            f"{wrong.name} is {wrong.value!r}; expected {wrong.expected}.",
            hint=f"Set {wrong.name} to {wrong.expected}, or unset it for the default.",
            id="clipper.E001",
        )


@check(OF_SETTINGS)
def secret_key_is_given() -> Findings:
    if not settings.SECRET_KEY_GIVEN:
        yield Error(
            "DJANGO_SECRET_KEY is not set.",
            hint="Set it to at least 50 random characters; `make run` keeps one in its VAR folder.",
            id="clipper.E002",
        )


@check(OF_SETTINGS)
def cluster_secret_is_long() -> Findings:
    # Whoever overhears a handshake can try secrets out at leisure: it has to be past guessing.
    if len(settings.CLIPPER_CLUSTER_SECRET) < 32:
        yield Error(
            "CLIPPER_CLUSTER_SECRET has fewer than 32 characters.",
            hint="Set it to the output of `openssl rand -hex 32`, the same on every host.",
            id="clipper.E003",
        )


@check(OF_SETTINGS)
def tls_is_complete() -> Findings:
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
        return
    yield Error(wrong, hint=TLS_HINT, id="clipper.E004")


@check(OF_SETTINGS)
def tls_files_are_usable() -> Findings:
    certificate, key = settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY
    if certificate and key:
        try:
            replica_tls(certificate=Path(certificate), key=Path(key))
        except OSError as error:
            yield _unusable("CLIPPER_TLS_CERT and CLIPPER_TLS_KEY", error=error)
    if settings.CLIPPER_TLS_CA:
        try:
            web_tls(authority=Path(settings.CLIPPER_TLS_CA))
        except OSError as error:
            yield _unusable("CLIPPER_TLS_CA", error=error)


@check(OF_SETTINGS)
def packages_come_from_somewhere() -> Findings:
    if settings.CLIPPER_PIP_NO_INDEX and not settings.CLIPPER_PIP_WHEELHOUSE:
        yield Error(
            "CLIPPER_PIP_NO_INDEX is set, but CLIPPER_PIP_WHEELHOUSE is not: no package that a "
            "version requires could be had.",
            hint="Set CLIPPER_PIP_WHEELHOUSE to a folder of wheels, or unset CLIPPER_PIP_NO_INDEX.",
            id="clipper.E007",
        )


@check()
def artifacts_can_be_kept() -> Findings:
    try:
        artifact_storage()
    except (ImproperlyConfigured, TypeError) as error:  # an option that it doesn't take
        yield Error(
            f"The storage of artifacts can't be used: {error}",
            hint="See docs/how-to/operations.md, or unset CLIPPER_ARTIFACTS_BACKEND and "
            "CLIPPER_ARTIFACTS_OPTIONS to keep them in a folder.",
            id="clipper.E006",
        )


def _unusable(names: str, *, error: OSError) -> CheckMessage:
    return Error(
        f"{names} cannot be used: {error}.",
        hint="Name PEM files that this user may read; the key belongs to the certificate.",
        id="clipper.E005",
    )


@check(OF_SETTINGS)
def tcp_settings_have_an_effect() -> Findings:
    for name in ("CLIPPER_BIND_HOST", "CLIPPER_REPLICA_PORTS"):
        if settings.ENV.text(name) and not settings.CLIPPER_ADVERTISE_HOST:
            yield Warning(
                f"{name} has no effect without CLIPPER_ADVERTISE_HOST.",
                hint="Set CLIPPER_ADVERTISE_HOST to the name at which other hosts reach this one.",
                id="clipper.W001",
            )


@check(OF_SETTINGS, deploy=True)
def redis_has_a_limit() -> Findings:
    try:
        memory = redis_client().info("memory")
    except redis.RedisError:
        return  # it may be started later
    if not memory.get("maxmemory"):
        yield Warning(
            "The Redis of REDIS_URL has no limit of memory (maxmemory 0).",
            hint="Set its maxmemory: near it feedback is refused, and nothing is lost.",
            id="clipper.W003",
        )


@check(OF_SETTINGS, deploy=True)
def models_can_be_confined() -> Findings:
    if not has_landlock():
        # No warning: that fails `check --deploy`, and no setting mends it.
        yield Info(
            "This kernel has no Landlock: files and processes are not kept from models.",
            hint="Use Linux 5.13 or newer, or a user and a container of the stack's own.",
            id="clipper.I004",
        )
