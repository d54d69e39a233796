"""Times in words, in Python and in templates, values by key, and the count of alerts.

The admin theme loads every tag library while it is itself being imported, so this module must not
import anything of the admin.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.core.cache import cache
from django.utils import timezone
from django.utils.timesince import timesince

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str:
    """Tell a time in words: "just now", "3 minutes ago", "in 2 days"."""
    if moment is None:
        return ""
    now = timezone.now()
    if abs((now - moment).total_seconds()) < 60:
        return "just now" if moment <= now else "in a moment"
    if moment > now:
        return f"in {timesince(now, moment, depth=1)}"
    return f"{timesince(moment, now, depth=1)} ago"


@register.filter
def get(values: Mapping[str, Any] | None, key: str) -> Any:
    """Return a value by a key that only the template knows; empty if there is none."""
    return (values or {}).get(key, "")


@register.simple_tag(takes_context=True)
def firing_alerts(context: Mapping[str, Any]) -> int | None:
    """Return how many alerts fired lately, or None for people who may not see them."""
    from serving.alerts.alert_states import firing_by_application

    request = context.get("request")
    if request is None or not request.user.has_perm("alerts.view_alert"):
        return None
    # Each page asks, twice.
    found: dict[int | None, int] = cache.get_or_set("alerts:firing", firing_by_application, 5) or {}
    return sum(found.values())
