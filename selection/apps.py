"""Selection: whom to trust."""

from __future__ import annotations

from django.apps import AppConfig


class SelectionConfig(AppConfig):
    name = "selection"
    label = "selection"
    verbose_name = "Selection"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry.versions.extensions import (
            register_combines,
            register_losses,
            register_policies,
        )
        from selection.combine_plugins import add_installed_combines, combine_names
        from selection.policies import POLICIES, make_policy
        from selection.rewards.losses import check_loss

        register_policies(make_policy, names=lambda: list(POLICIES))
        register_losses(check_loss)
        add_installed_combines()
        register_combines(combine_names)
