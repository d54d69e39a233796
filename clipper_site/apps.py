"""The composition root as a Django app: its checks and the admin's home page live here."""

from __future__ import annotations

from django.apps import AppConfig


class ClipperSiteConfig(AppConfig):
    name = "clipper_site"
    verbose_name = "Clipper"

    def ready(self) -> None:
        from clipper_site import checks  # noqa: F401  (registers the checks)
