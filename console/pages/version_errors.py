"""The console's page on what went wrong in a version, and what its replicas wrote."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from console.access import may, page_with
from core.errors import Unavailable
from registry.api.visibility import applications_for, bound_to
from registry.models import ModelVersion, Release
from registry.security.grants import within
from serving.capture.models import CapturedInput
from serving.capture.segments import body_of
from serving.cluster.failures.output_log import last_lines, logs_of_version, replica_of
from serving.endpoints.management.diagnosis import error_out, last_errors

VIEW, SEE = "registry.view_modelversion", "capture.view_capturedinput"
# Captured inputs that failed in any version; the version's own are among them.
LOOKED_AT = 20


def version_errors(request: HttpRequest, version_id: int) -> HttpResponse:
    """Show the last errors, and the end of the logs that were written to last."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    versions = within(ModelVersion.objects.all(), own=bound_to(request))
    version = get_object_or_404(versions.select_related("model"), pk=version_id)
    problem, errors = "", list[dict[str, Any]]()
    try:
        errors = [
            error | {"suspect": _suspect(version, at=error["first_at"])}
            for error in map(error_out, last_errors(version.pk))
        ]
    except Unavailable as error:
        problem = error.message
    files = logs_of_version(
        settings.CLIPPER_REPLICA_LOGS, model=version.model.name, version=version.version
    )
    return page_with(
        request,
        "version_errors",
        title=f"{version}: errors and output",
        opts=ModelVersion._meta,
        original=version,
        version=version,
        problem=problem,
        errors=errors,
        sample=_sample(request, version) if may(request, SEE) else None,
        logs=[
            {"replica": replica_of(file), "text": "\n".join(last_lines(file, lines=100))}
            for file in files[:5]
        ],
    )


def _sample(request: HttpRequest, version: ModelVersion) -> dict[str, Any] | None:
    """Return the newest captured input to which the version gave no answer, and why."""
    asking = applications_for(request).filter(routes__model=version.model_id)
    rows = CapturedInput.objects.filter(application__in=asking, failed=True)
    for row in rows.select_related("application")[:LOOKED_AT]:
        with suppress(Exception):  # a row that can't be read has no input to show
            body = body_of(row)
            if why := body.missing.get(str(version)):
                return {"row": row, "why": why, "input": bytes(body.input).decode()}
    return None


def _suspect(version: ModelVersion, *, at: datetime) -> Release | None:
    """Return the model's last release before an error came first, which may have brought it."""
    rows = Release.objects.filter(model=version.model_id, created_at__lte=at)
    return rows.filter(version=version).first()
