"""The console's page of a model's replays: one is begun there, watched, cancelled and resumed."""

from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone

from console.access import actor, may, page_with
from core.errors import ClipperError
from registry.api.visibility import applications_for, check_changes, models_for
from registry.models import Model, ModelVersion
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.services import act_on_replay, begin_replay
from serving.endpoints.management.replay_views import MAY, ReplayWhole

# By hours, what is asked again; the name of a set has "=" before it.
TIMES = {"168": "last 7 days", "24": "last day", "1": "last hour", "720": "last 30 days"}


def replays(request: HttpRequest, name: str) -> HttpResponse:
    """Show a model's newest replays, and one of them whole."""
    if not may(request, "registry.view_modelversion", *MAY["GET"]):
        raise PermissionDenied
    model = get_object_or_404(models_for(request), name=name)
    rows = TrafficReplay.objects.filter(
        version__model=model, application__in=applications_for(request)
    ).select_related("application", "version__model")
    if request.method == "POST":
        return _act(request, model, rows)
    number = request.GET.get("replay", "")
    chosen = rows.filter(pk=number).first() if number.isdecimal() else rows.first()
    return page_with(
        request,
        "replays",
        title=f"Replays of {model}",
        opts=ModelVersion._meta,
        original=model,
        may_begin=may(request, *MAY["POST"]),
        choices=_choices(request, model),
        versions=model.versions.order_by("-pk")[:100],
        wanted=request.GET.get("version") or (chosen and chosen.version.version),
        replays=rows[:20],
        row=chosen,
        is_open=chosen and chosen.state in TrafficReplay.OPEN,
        whole=chosen and ReplayWhole(chosen).data,
    )


def _act(request: HttpRequest, model: Model, rows: QuerySet[TrafficReplay]) -> HttpResponse:
    """Begin a replay, or cancel or resume one, and lead to it."""
    if not may(request, *MAY["POST"]):
        raise PermissionDenied
    said, page = request.POST, reverse("console-replays", args=[model.name])
    try:
        check_changes(request, model=model)
        if (number := said.get("replay", "")).isdecimal():
            replay = get_object_or_404(rows, pk=number)
            act_on_replay(replay, said.get("action", ""), by=actor(request))
        else:
            application, _, chosen = said.get("rows", "").partition(":")
            hours = int(chosen) if chosen in TIMES else 0
            replay = begin_replay(
                application=get_object_or_404(applications_for(request), name=application),
                version=get_object_or_404(model.versions, version=said.get("version", "")),
                by=actor(request),
                since=timezone.now() - timedelta(hours=hours) if hours else None,
                set_name="" if hours else chosen.removeprefix("="),
            )
    except ClipperError as error:
        messages.error(request, error.message)
        return redirect(page)
    return redirect(f"{page}?replay={replay.pk}")


def _choices(request: HttpRequest, model: Model) -> dict[str, str]:
    """Return what can be asked again: of each application times, and named sets."""
    asking = applications_for(request).filter(input_type=model.input_type)
    rows = CapturedInput.objects.filter(application__in=asking).order_by("application__name")
    found: dict[str, str] = {}
    for name, of, number in rows.values_list("application__name", "set_name").annotate(Count("pk")):
        found |= {f"{name}:{hours}": f"{name}: {text}" for hours, text in TIMES.items()}
        found |= {f"{name}:={of}": f"{name}: set {of} ({number:,} rows)"} if of else {}
    return found
