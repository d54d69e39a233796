"""Acts on a rollout from the page of its release, and the queries that its version was asked."""

from typing import cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from console.access import actor, may
from core.errors import ClipperError
from core.redis.redis_client import redis_client
from registry import services
from registry.api.visibility import models_for
from registry.models import Rollout
from serving.metrics.rollout_rows import ANSWERS

# Without the approvals that are wanted.
BYPASS = "bypass"


@require_POST
def rollout_act(request: HttpRequest, rollout_id: int) -> HttpResponse:
    """Pause, go on, promote or abort, with the reason that was typed."""
    rollout = _rollout(request, rollout_id)
    name = request.POST.get("action", "")
    said = {
        "reason": request.POST.get("reason", "").strip()[:2000],
        "digest": request.POST.get("digest", ""),
        "bypass": name == BYPASS,
    }
    try:
        act = services.rollout_act("promote" if name == BYPASS else name)
        if not request.user.has_perm(act.permission, rollout.model):
            raise PermissionDenied
        services.act_on_rollout(rollout, act, by=actor(request), **said)
    except ClipperError as error:
        messages.error(request, error.message)
    return redirect("admin:registry_release_change", rollout.release_id)


def rollout_answers(request: HttpRequest, rollout_id: int) -> HttpResponse:
    """Download the ids of the last queries that the new version was asked, one a line."""
    rollout = _rollout(request, rollout_id)
    found = cast("list[bytes]", redis_client().lrange(f"{ANSWERS}{rollout.pk}", 0, -1))
    name = f"rollout-{rollout.pk}-queries.txt"
    return HttpResponse(
        b"".join(query_id + b"\n" for query_id in found),
        content_type="text/plain",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _rollout(request: HttpRequest, rollout_id: int) -> Rollout:
    if not may(request, "registry.view_release"):
        raise PermissionDenied
    rollouts = Rollout.objects.filter(model__in=models_for(request)).with_release()
    return get_object_or_404(rollouts, pk=rollout_id)
