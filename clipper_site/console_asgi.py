"""The console's processes: pages, management API, uploads, metrics."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")

import django

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  (Django must be set up first)

# The first page would otherwise wait for all of them to be imported.
from clipper_site import urls  # noqa: E402, F401
from clipper_site.asgi.held_database import held_open  # noqa: E402
from clipper_site.asgi.web_process import new_limits, with_fresh_connection  # noqa: E402
from clipper_site.uploads.admission import UploadHandlingASGIHandler, clear_remnants  # noqa: E402
from clipper_site.uploads.bodies import with_limited_bodies  # noqa: E402
from core.host_tokens import ARTIFACTS, HostTokens  # noqa: E402
from core.specs import CHANGES_CHANNEL  # noqa: E402
from registry.artifacts.artifact_store import ArtifactStore  # noqa: E402
from registry.following.reading import last_number  # noqa: E402
from registry.models import ModelVersion  # noqa: E402
from serving.capture.segments import keep_in_files  # noqa: E402
from serving.cluster.control.rhythm import Rhythm  # noqa: E402
from serving.endpoints.console.artifact_downloads import ArtifactDownloads  # noqa: E402
from serving.endpoints.console.late_answers import with_late_answers  # noqa: E402
from serving.endpoints.console.metrics_page import metrics_endpoint  # noqa: E402
from serving.endpoints.console.release_wait import (  # noqa: E402
    with_followed_changes,
    with_release_waits,
)
from serving.http.asgi import Endpoint, Routes, live_endpoint  # noqa: E402
from serving.http.connections import Connections  # noqa: E402
from serving.http.passed_heads import PassedHeads  # noqa: E402
from serving.metrics.masters import read_masters  # noqa: E402
from serving.web.console import ConsoleRuntime, ConsoleSpec  # noqa: E402


def new_console() -> ConsoleRuntime:
    """Return a runtime that is not started yet. Call it on the event loop that will run it."""
    return ConsoleRuntime(
        ConsoleSpec(
            redis_url=settings.REDIS_URL,
            registry_channel=CHANGES_CHANNEL,
            read_arms=with_fresh_connection(_arms),
            last_change=with_fresh_connection(last_number),
            read_masters=partial(read_masters, settings.CLIPPER_RUN_DIR),
        )
    )


def _arms() -> dict[int, str]:
    """Return the names of all versions by their ids."""
    rows = ModelVersion.objects.values_list("pk", "model__name", "version")
    return {version_id: f"{model}:{version}" for version_id, model, version in rows}


def routes_of(runtime: ConsoleRuntime) -> Endpoint:
    """Return the application that serves one console process."""
    django_application = cast(Endpoint, UploadHandlingASGIHandler())
    management = with_release_waits(
        with_followed_changes(
            with_late_answers(with_limited_bodies(django_application)),
            followed=runtime.followed,
        ),
        next_change=lambda: runtime.next_change,
        followed=runtime.followed,
    )
    secret = settings.CLIPPER_CLUSTER_SECRET.encode()
    artifacts = ArtifactDownloads(
        tokens=HostTokens(secret, purpose=ARTIFACTS),
        file_of=ArtifactStore.default().file_of,
        at_once=settings.CLIPPER_ARTIFACTS_AT_ONCE,
        counts=runtime.artifacts,
    )
    routes = Routes(
        (r"api/v1/artifacts/(?P<sha256>[^/]+)/?", artifacts.endpoint()),
        (r"health/console/?", live_endpoint()),
        (r"metrics/?", metrics_endpoint(runtime)),
        otherwise=management,
    )
    return PassedHeads(secret).read_by(routes)


@asynccontextmanager
async def application(replaces: bool) -> AsyncIterator[Connections]:
    """Run what the console has beside Django."""
    runtime = new_console()
    async with AsyncExitStack() as held:
        await asyncio.to_thread(held.enter_context, held_open())
        await asyncio.to_thread(clear_remnants)
        captured = Rhythm(keep_in_files, interval_s=30.0, name="captured_files")
        held.callback(captured.stop)
        captured.start()
        held.push_async_callback(runtime.stop)
        await runtime.start()
        yield Connections(
            routes_of(runtime), refusals=runtime.metrics.refusals, limits=new_limits()
        )
