"""The composition root as a Django app: its checks, and the console loaded where it is wanted."""

from collections.abc import Sequence
from typing import Any

import django_stubs_ext
from django.apps import AppConfig, apps
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.db.models.signals import post_migrate

# Lets annotations such as ModelForm[Application] stand in code that runs, of which only the console
# has any: it takes the whole admin to do so.
django_stubs_ext.monkeypatch()


class ClipperSiteConfig(AppConfig):
    name = "clipper_site"
    verbose_name = "Clipper"

    def ready(self) -> None:
        from clipper_site import checks  # noqa: F401  (which registers them)
        from registry.services import roles

        # When the last app with tables is migrated, the permissions of all are there.
        last = [app for app in apps.get_app_configs() if app.models_module is not None][-1]
        post_migrate.connect(roles.make_groups, sender=last)


class LazyAdminConfig(SimpleAdminConfig):
    """Leaves the console's pages, a third of all imports, to the URLs and the checks."""

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    admin.autodiscover()
    found: list[checks.CheckMessage] = check_admin_app(app_configs, **kwargs)
    return found
