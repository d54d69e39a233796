"""The console's page on the environments that hosts keep for versions."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.access import actor, may
from core.errors import ClipperError, Unavailable
from registry.following.reading import version_spec
from registry.models import ModelVersion
from serving.endpoints.management.environment_views import environments, log_of, remove
from serving.environments.spec import environment_of

VIEW, DELETE = "registry.view_modelversion", "registry.delete_modelversion"


def environments_page(request: HttpRequest) -> HttpResponse:
    """List them with their logs; a POST of a digest removes that one, without one the unneeded."""
    if not may(request, VIEW):
        raise PermissionDenied
    if request.method == "POST":
        return _removed(request, digest=request.POST.get("digest", ""))
    problem, rows = "", list[dict[str, Any]]()
    try:
        rows = [_row(environment) for environment in environments()]
    except Unavailable as error:
        problem = error.message
    return TemplateResponse(
        request,
        "console/environments.html",
        {
            **admin.site.each_context(request),
            "title": "Environments",
            "problem": problem,
            "environments": rows,
            "hosts": _use_of_hosts(rows),
            "unneeded": any(not row["needed"] for row in rows),
            "may_remove": may(request, DELETE),
        },
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


def _removed(request: HttpRequest, *, digest: str) -> HttpResponse:
    if not may(request, DELETE):
        raise PermissionDenied
    digests = [digest] if digest else [row["digest"] for row in environments() if not row["needed"]]
    for each in digests:
        try:
            remove(each, by=actor(request))
            messages.success(request, "The environment is removed.")
        except ClipperError as error:
            messages.error(request, error.message)
    return HttpResponseRedirect(reverse("console-environments"))


def _use_of_hosts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say how much each host keeps, and at most may."""
    used, limits = Counter[str](), dict[str, int]()
    for host in (host for row in rows for host in row["hosts"]):
        used[host["host"]] += host["bytes"]
        limits[host["host"]] = host["limit_bytes"]
    return [
        f"{name} keeps {filesizeformat(used[name])} of at most {filesizeformat(limit)}"
        for name, limit in sorted(limits.items())
    ]


def _row(environment: dict[str, Any]) -> dict[str, Any]:
    return {
        **environment,
        "name": environment["digest"][:12],
        "places": [_on_host(host) for host in environment["hosts"]],
        "failed": any(host["state"] == "failed" for host in environment["hosts"]),
        "log": log_of(environment["digest"]),
    }


def _on_host(host: dict[str, Any]) -> str:
    if host["state"] == "failed":
        return f"{host['host']}: {host['error']}"
    size = filesizeformat(host["bytes"])
    return f"{host['host']}: {size}, built in {host['seconds']:.0f} s"
