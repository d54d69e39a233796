"""The console's home page: the live picture, complete at first and then kept up to date."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse

from console.live import picture
from registry.api.errors import error_response
from registry.errors import Unauthenticated

# What a person must be permitted to view to be shown a part of the picture.
PARTS = {
    "applications": "registry.view_application",
    "models": "registry.view_modelversion",
    "alarms": "registry.view_modelversion",
    "releases": "registry.view_release",
}


def picture_for(request: HttpRequest) -> dict[str, Any]:
    """Return the live picture without the parts that this person may not view."""
    hidden = [part for part, needed in PARTS.items() if not request.user.has_perm(needed)]
    return {**picture(), **{part: [] for part in hidden}}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the index page what it shows (the theme's DASHBOARD_CALLBACK)."""
    return {**context, "live": picture_for(request), "title": "Live"}


def live_json(request: HttpRequest) -> HttpResponse:
    """Answer the home page's script; staff only, others get an error instead of a login page."""
    if not admin.site.has_permission(request):
        return error_response(Unauthenticated("Sign in to the console first."))
    response = JsonResponse(picture_for(request))
    response["Cache-Control"] = "no-store"
    return response
