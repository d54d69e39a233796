"""The console's page on the environments that hosts keep for versions."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.access import may, page_with
from console.words import formats
from core.errors import Unavailable
from registry.following.reading import version_spec
from registry.models import ModelVersion
from serving.endpoints.management.environment_views import environments, log_of
from serving.environments.spec import environment_of


def environments_page(request: HttpRequest) -> HttpResponse:
    """List them with their logs."""
    if not may(request, "registry.view_modelversion", "registry.view_stack"):
        raise PermissionDenied
    problem, rows = "", list[dict[str, Any]]()
    try:
        rows = [_row(environment) for environment in environments()]
    except Unavailable as error:
        problem = error.message
    return page_with(
        request,
        "environments",
        title="Environments",
        problem=problem,
        environments=rows,
    )


def environment_text(version: ModelVersion) -> SafeString | str:
    """Return where a version runs, for its own page, as hosts say of its environment."""
    if not version.pk or (spec := environment_of(version_spec(version))) is None:
        return "the stack's own"
    try:
        found = next((row for row in environments() if spec.digest in row["specs"]), None)
    except Unavailable:
        return "not known while Redis is away"
    if found is None:
        return "not built yet"
    return format_html(
        '{} <a class="clp-link" href="{}#{}">Packages and log</a>',
        "; ".join(_on_host(host) for host in found["hosts"]),
        reverse("console-environments"),
        found["digest"][:12],
    )


def _row(environment: dict[str, Any]) -> dict[str, Any]:
    return {
        **environment,
        "name": environment["digest"][:12],
        "places": [_on_host(host) for host in environment["hosts"]],
        "failed": any(host["error"] for host in environment["hosts"]),
        "log": log_of(environment["digest"]),
    }


def _on_host(host: dict[str, Any]) -> str:
    return f"{host['host']}: {host['error'] or formats.size(host['bytes'])}"
