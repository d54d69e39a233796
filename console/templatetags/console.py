"""Times in words, in Python and in templates, values by key, and the count of alerts.

The admin theme loads every tag library while it is itself being imported, so this module must not
import anything of the admin.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import template
from django.core.cache import cache
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.words import formats

register = template.Library()


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """Draw a time, which the script shows in the viewer's zone, with UTC on hover."""
    return _drawn(at, shown=formats.moment(at), by="moment") if at else ""


@register.filter
def clock(at: datetime) -> SafeString:
    """Draw the minute of a time whose day is said elsewhere."""
    return _drawn(at, shown=f"{at.astimezone(UTC):%H:%M}", by="clock")


@register.filter("ago")
def since(at: datetime | None) -> SafeString | str:
    """Draw how long ago a time is; the time itself shows on hover."""
    return _drawn(at, shown=formats.ago(at), by="ago") if at else ""


def _drawn(at: datetime, *, shown: str, by: str) -> SafeString:
    exact = at.astimezone(UTC)
    return format_html(
        '<time class="clp-nowrap" datetime="{}" data-shown="{}" title="{}">{}</time>',
        exact.isoformat(),
        by,
        f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        shown,
    )


register.filter(formats.size)


@register.filter
def lasted(began: datetime, ended: datetime) -> str:
    return formats.duration((ended - began).total_seconds())


@register.filter
def get(values: Mapping[str, Any] | None, key: str) -> Any:
    """Return a value by a key that only the template knows; empty if there is none."""
    return (values or {}).get(key, "")


@register.simple_tag(takes_context=True)
def firing_alerts(context: Mapping[str, Any]) -> int | None:
    """Return how many alerts fire that this person sees, or None for who may see none."""
    from registry.api.visibility import bound_to
    from serving.alerts.alert_states import firing_by_application

    request = context.get("request")
    if request is None or not request.user.has_perm("alerts.view_alert"):
        return None
    # Each page asks, twice.
    found: dict[int | None, int] = cache.get_or_set("alerts:firing", firing_by_application, 5) or {}
    own = bound_to(request)
    return sum(number for key, number in found.items() if own is None or key in own)
