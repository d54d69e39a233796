"""The console's home page: the live picture, complete at first and then kept up to date."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse

from clipper_site.live import picture
from registry.api.errors import error_response
from registry.errors import Unauthenticated


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the index page what it shows (the theme's DASHBOARD_CALLBACK)."""
    return {**context, "live": picture(), "title": "Live"}


def live_json(request: HttpRequest) -> HttpResponse:
    """Answer the home page's script; staff only, others get an error instead of a login page."""
    if not admin.site.has_permission(request):
        return error_response(Unauthenticated("Sign in to the console first."))
    response = JsonResponse(picture())
    response["Cache-Control"] = "no-store"
    return response
