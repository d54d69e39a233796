"""Selection: whom to trust."""

from __future__ import annotations

from django.apps import AppConfig


class SelectionConfig(AppConfig):
    name = "selection"
    label = "selection"
    verbose_name = "Selection"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry.extensions import register_policies
        from selection.policies import make_policy

        register_policies(make_policy)
