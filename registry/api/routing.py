"""How an endpoint of the management API gets its URL, in whichever app it lives."""

from __future__ import annotations

from django.urls import URLPattern, path
from rest_framework.views import APIView

APPLICATION = "applications/<str:application>"
MODEL = "models/<str:model>"
VERSION = f"{MODEL}/versions/<str:version>"


def both(route: str, *, view: type[APIView], name: str) -> list[URLPattern]:
    """The route as given, and its twin with or without the last slash.

    A redirect from one to the other would lose the body. The schema shows the one that is given.
    """
    twin = route[:-1] if route.endswith("/") else route + "/"
    return [
        path(twin, view.as_view(schema=None), name=name),
        path(route, view.as_view(), name=name),
    ]
