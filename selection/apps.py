"""Selection: whom to trust, and ways to combine answers that installed packages add."""

import logging
from importlib.metadata import entry_points

from django.apps import AppConfig

from selection.answers.combine import METHODS, custom

logger = logging.getLogger(__name__)


class SelectionConfig(AppConfig):
    name = "selection"
    label = "selection"
    verbose_name = "Selection"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry.versions.extensions import extensions
        from selection.policies import POLICIES, make_policy
        from selection.rewards.losses import check_loss

        add_installed_combines()
        extensions.policy_check = make_policy
        extensions.policy_names = lambda: list(POLICIES)
        extensions.loss_check = check_loss
        extensions.combine_names = lambda: list(METHODS)


def add_installed_combines() -> None:
    """Make what packages bring known by name; ours keep theirs, and a broken one is left out."""
    for entry_point in entry_points(group="clipper.combine"):
        if entry_point.name in METHODS:
            continue
        try:
            METHODS[entry_point.name] = custom(entry_point.name, entry_point.load())
        except Exception:
            logger.exception("combine %r is broken and left out", entry_point.name)
