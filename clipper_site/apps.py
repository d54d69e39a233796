"""The composition root as a Django app: its checks, and the console loaded where it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class ClipperSiteConfig(AppConfig):
    name = "clipper_site"
    verbose_name = "Clipper"

    def ready(self) -> None:
        from clipper_site import checks  # noqa: F401  (registers the checks)


class LazyAdminConfig(SimpleAdminConfig):
    """Leaves the console's pages to the URLs and the checks: a third of what a process imports.

    Workers and most commands never need them.
    """

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    admin.autodiscover()
    found: list[checks.CheckMessage] = check_admin_app(app_configs, **kwargs)
    return found
