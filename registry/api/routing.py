"""URLs of REST endpoints."""

from django.urls import URLPattern, path
from rest_framework.views import APIView

APPLICATION = "applications/<str:application>"
MODEL = "models/<str:model>"
VERSION = f"{MODEL}/versions/<str:version>"


def both(route: str, *, view: type[APIView], name: str) -> list[URLPattern]:
    """Return the route and its twin with or without the last slash; the schema shows the first."""
    twin = route[:-1] if route.endswith("/") else route + "/"
    return [
        path(twin, view.as_view(schema=None), name=name),
        path(route, view.as_view(), name=name),
    ]
