"""Processes of the stack as they describe themselves, and what is wrong with it as a whole."""

from collections.abc import Iterable
from datetime import UTC, datetime

import redis
from django.conf import settings

from console.live.model_load import Document
from console.words import formats
from core.redis.redis_client import redis_client
from registry.releases.control import read_control
from serving.metrics.masters import dying, read_masters
from serving.metrics.published import read_published


def stack_problem() -> str:
    """Say what makes pages and releases stand still, or which processes keep dying; "": nothing."""
    try:
        control, documents = read_control(), read_published(redis_client())
    except redis.RedisError as error:
        return f"Redis cannot be reached, so nothing live is known: {error}"
    published = (document.get("registry", {}).get("problem", "") for document in documents)
    problems = (control.problem, *published, dying(read_masters(settings.CLIPPER_RUN_DIR)))
    return next(filter(None, problems), "")


def process_rows(
    predicting: Iterable[Document], consoles: Iterable[Document]
) -> list[dict[str, str]]:
    """Return a row for each process that has published lately, the oldest of each kind first."""
    return [
        _process(document, kind=kind)
        for kind, documents in (("predict", predicting), ("console", consoles))
        for document in sorted(documents, key=lambda document: document.get("since", 0.0))
    ]


def _process(document: Document, *, kind: str) -> dict[str, str]:
    pid, since = document.get("pid"), document.get("since")
    code = "compiled" if document.get("compiled") else ""
    if why := document.get("uncompiled"):
        code = f"as Python: what is compiled {why}"
    rates = [counts.get("rate") or 0.0 for counts in document.get("applications", {}).values()]
    return {
        "kind": kind,
        "process": formats.listed(str(pid or formats.NOTHING), code),
        "host": document.get("host", ""),
        "memory": formats.size(document.get("rss_bytes", 0)),
        "since": formats.ago(datetime.fromtimestamp(since, tz=UTC)) if since else formats.NOTHING,
        "rate": f"{formats.rate(sum(rates))} /s" if kind == "predict" else "",
    }
