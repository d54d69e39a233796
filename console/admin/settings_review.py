"""The page between an application's settings and their change: old, new, effect, reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from console.access import frame
from registry.models import Application, ServiceLevelObjective

UNSURE = "More or fewer answers give way to the default output."
JUDGED = "Labels that come from now on are judged by it."
# What a change does to queries; of a setting without a row they notice nothing.
EFFECTS = {
    "policy": "Another rule chooses which versions are asked, from the next query on.",
    "policy_params": "The policy chooses by these numbers from the next query on.",
    "routes": "Queries ask these versions from the next one on.",
    "combine": "Answers of several versions become one in another way.",
    "default_output": "This is answered when no version answers in time.",
    "confidence_threshold": UNSURE,
    "max_wrong_share": UNSURE,
    "promise_confidence": UNSURE,
    "cascade_below": "A dearer version is asked as well in more or fewer queries.",
    "holdout_share": "This share of people is answered by the routes' weights.",
    "latency_ms": "Answers have to come within this time; batches are planned by it.",
    "cache": "Inputs seen before are answered from memory, or no longer.",
    "cache_ttl_s": "Remembered answers are kept longer or shorter.",
    "priority": "Its queries come sooner or later where a model has too many.",
    "public": "Queries need a key, or no longer.",
    "allowed_origins": "Pages of other origins may ask, or no longer.",
    "loss": JUDGED,
    "loss_expression": JUDGED,
    "loss_scale": JUDGED,
    "missing_loss": JUDGED,
    "default_reward": JUDGED,
    "lateness_price": JUDGED,
    "cost_price": JUDGED,
}


def changes_shown(changes: Mapping[str, Sequence[Any]]) -> list[dict[str, str]]:
    """Return a row for each setting that changes."""
    return [
        {
            "name": _label(name),
            "old": _text(old),
            "new": _text(new),
            "effect": EFFECTS.get(name, ""),
        }
        for name, (old, new) in changes.items()
    ]


def is_confirmed(request: HttpRequest, changes: Sequence[Mapping[str, str]]) -> bool:
    """Return whether the changes were reviewed, with a reason if they change what is served."""
    served = any(change["effect"] for change in changes)
    reason = request.POST.get("reason", "").strip()
    return "confirmed" in request.POST and bool(reason or not served)


def review(
    request: HttpRequest, application: Application, *, changes: Sequence[Mapping[str, str]]
) -> HttpResponse:
    """Ask whether this is meant; the page sends the whole form again."""
    again = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in ("csrfmiddlewaretoken", "confirmed", "reason")
        for value in values
    ]
    context = {
        **frame(request, application, title=f"{application}: review"),
        "changes": changes,
        "again": again,
        "needs_reason": any(change["effect"] for change in changes),
        "missed": "confirmed" in request.POST,
    }
    return TemplateResponse(request, "console/settings_review.html", context)


def _label(name: str) -> str:
    for model in (Application, ServiceLevelObjective):
        try:
            return str(getattr(model._meta.get_field(name), "verbose_name", name)).capitalize()
        except FieldDoesNotExist:
            continue
    return name.capitalize()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "the usual"
    if isinstance(value, list):
        return "\n".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
