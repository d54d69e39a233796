"""`manage.py status`: applications, models, live versions and releases under way."""

from collections.abc import Sequence
from typing import Any

import redis

from core.redis.redis_client import redis_client
from registry.management.clipper_command import ClipperCommand
from registry.models import Application, Model, ModelVersion, Release, Route
from registry.releases.control import read_control
from registry.releases.progress import what_it_waits_for
from registry.releases.restarts import read_restarts

Row = Sequence[str]
Section = tuple[str, Row, list[Row]]


class Command(ClipperCommand):
    help = "Show the applications, the models with their live versions, and the open releases."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Control\n  {control()}\n")
        for title, heads, rows in (applications(), models(), restarts(), open_releases()):
            self.stdout.write(f"{title}\n" + table(heads, rows=rows) + "\n")


def control() -> str:
    """Return the state of the control worker in a line."""
    try:
        known = read_control()
    except redis.RedisError as error:
        return f"unknown, as Redis cannot be reached: {error}"
    return known.problem or f"last round {known.age_s or 0.0:.0f} s ago"


def applications() -> Section:
    rows: list[Row] = [
        (
            application.name,
            application.policy,
            f"{application.slo.latency_ms:g} ms",
            application.default_output or "none",
            ", ".join(route_text(route) for route in application.routes.all()) or "none",
        )
        for application in Application.objects.with_everything()
    ]
    return "Applications", ("name", "policy", "SLO", "default", "routes"), rows


def route_text(route: Route) -> str:
    """The arm as selection names it; a pin is marked."""
    if route.pinned_version:
        return f"{route.model.name}:{route.pinned_version.version} (pinned)"
    live = route.model.live_version
    return f"{route.model.name}:{live.version}" if live else f"{route.model.name} (not live)"


def models() -> Section:
    rows: list[Row] = [
        (
            model.name,
            model.input_type,
            model.live_version.version if model.live_version else "none",
            model.live_version.replicas_text if model.live_version else "-",
            ", ".join(version.version for version in model.versions.all()) or "none",
        )
        for model in Model.objects.with_versions()
    ]
    return "Models", ("name", "input", "live", "replicas", "versions"), rows


def restarts() -> Section:
    """Return the versions whose replicas ended unasked within a day."""
    versions = {version.pk: version for version in ModelVersion.objects.select_related("model")}
    try:
        found = read_restarts(redis_client(), versions)
    except redis.RedisError:
        found = {}
    rows: list[Row] = [
        (str(versions[pk]), host, str(count), restarted.last[0].reason if restarted.last else "-")
        for pk, restarted in found.items()
        for host, count in restarted.by_host.items()
    ]
    return "Restarts within a day", ("version", "host", "times", "last reason"), rows


def open_releases() -> Section:
    rows: list[Row] = [
        (
            str(release.pk),
            release.arm,
            release.kind,
            release.state,
            release.by_label,
            f"{release.created_at:%F %T}",
            what_it_waits_for(release),
        )
        for release in Release.objects.open().with_versions()
    ]
    return (
        "Open releases",
        ("id", "version", "kind", "state", "by", "since (UTC)", "waits for"),
        rows,
    )


def table(heads: Row, *, rows: Sequence[Row]) -> str:
    """Lay out text columns, each as wide as its widest cell."""
    if not rows:
        return "  none"
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
