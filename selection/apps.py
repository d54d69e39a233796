"""Selection: whom to trust."""

from django.apps import AppConfig


class SelectionConfig(AppConfig):
    name = "selection"
    label = "selection"
    verbose_name = "Selection"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry.versions.extensions import extensions
        from selection.combine_plugins import add_installed_combines, combine_names
        from selection.policies import POLICIES, make_policy
        from selection.rewards.losses import check_loss

        add_installed_combines()
        extensions.policy_check = make_policy
        extensions.policy_names = lambda: list(POLICIES)
        extensions.loss_check = check_loss
        extensions.combine_names = combine_names
