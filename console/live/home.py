"""The console's home page: the live picture, complete at first and then kept up to date."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse

from console.live.model_rows import alarms
from console.live.picture import picture
from core.errors import Unauthenticated
from registry.api.error_shape import error_response
from registry.api.visibility import applications_for, bound_to, models_for

# The permission that each part of the picture needs.
PARTS = {
    "applications": "registry.view_application",
    "models": "registry.view_modelversion",
    "alarms": "registry.view_modelversion",
    "releases": "registry.view_release",
}


class SharedPicture:
    """The live picture as it was last drawn, shared by all open pages."""

    def __init__(self, draw: Callable[[], dict[str, Any]]) -> None:
        self._draw = draw
        self._fresh_s = 0.0
        self._lock = Lock()
        self._drawn: dict[str, Any] = {}
        self._until = 0.0

    def show_for(self, seconds: float) -> None:
        """Show one for so long from now on."""
        self._fresh_s = seconds

    def latest(self, *, anew: bool = False) -> dict[str, Any]:
        """Return it, drawn `anew` for whoever has just changed something.

        Whoever comes while it is drawn waits for that.
        """
        with self._lock:
            if anew or monotonic() >= self._until:
                self._drawn = self._draw()
                self._until = monotonic() + self._fresh_s
            return self._drawn


shared = SharedPicture(picture)


def shown_to(request: HttpRequest, live: dict[str, Any]) -> dict[str, Any]:
    """Return the live picture without the parts that this person may not view."""
    hidden = [part for part, needed in PARTS.items() if not request.user.has_perm(needed)]
    live = {**live, **{part: [] for part in hidden}}
    if bound_to(request) is None:
        return live
    applications = set(applications_for(request).values_list("name", flat=True))
    asked = set(models_for(request).values_list("name", flat=True))
    models = [row for row in live["models"] if row["name"] in asked]
    return {
        **live,
        "applications": [row for row in live["applications"] if row["name"] in applications],
        "models": models,
        "alarms": alarms(models),
        "releases": [
            row for row in live["releases"] if row["text"]["what"].partition(":")[0] in asked
        ],
        "processes": [],
    }


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the index page what it shows (the theme's DASHBOARD_CALLBACK)."""
    return {**context, "live": shown_to(request, shared.latest(anew=True)), "title": "Live"}


def live_json(request: HttpRequest) -> HttpResponse:
    """Answer the home page's script; staff only, others get an error instead of a login page."""
    if not admin.site.has_permission(request):
        return error_response(Unauthenticated("Sign in to the console first."))
    response = JsonResponse(shown_to(request, shared.latest()))
    response["Cache-Control"] = "no-store"
    return response
