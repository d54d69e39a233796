"""Events of the timeline in words: rows of the page, histories of objects, marks on charts."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.text import Truncator

from console.words import formats
from registry.api.views.timeline_view import reach_of
from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion
from registry.models.audit_entry import AuditEntryQuerySet
from registry.services.audit_trail import Row

Action = AuditEntry.Action

ICONS: dict[str, str] = {
    **{"release": "rocket_launch", "settings": "tune", "access": "key", "learning": "school"},
    **{
        "scaling": "open_in_full",
        "crash": "error",
        "alert": "notifications",
        "check": "fact_check",
    },
    **{Action.ROLL_BACK: "undo", Action.RESOLVE: "check_circle", Action.FAIL: "error"},
    **{Action.CREATE: "add_circle", Action.DELETE: "delete", Action.RESET: "restart_alt"},
    Action.PRUNE: "delete",
}
# {kind} is that of what the entry names.
VERBS: dict[str, str] = {
    **{Action.CREATE: "Created {kind}", Action.CHANGE: "Changed {kind}"},
    **{Action.DELETE: "Deleted {kind}", Action.REVOKE: "Revoked {kind}"},
    **{Action.DEPLOY: "Deployed", Action.ROLL_BACK: "Rolled back to", Action.GO_LIVE: "Went live:"},
    Action.ROLL_OUT: "Rollout of",
    **{Action.FAIL: "Release failed:", Action.RESET: "Reset what was learned by"},
    **{Action.SCALE: "Scaled", Action.CRASH: "Replica ended by itself:", Action.PRUNE: "Removed"},
    Action.REFUSE: "Refused a sign-in:",
    **{Action.CHECK: "Checked", Action.MOVE: "Moved a replica of"},
    **{Action.FIRE: "Alert fired:", Action.RESOLVE: "Alert resolved:"},
}
LINKED: dict[str, type[Row]] = {
    str(model._meta.verbose_name): model
    for model in (Application, Model, ModelVersion, ApiKey, User)
}
MARKED = frozenset({"release", "settings", "alert", "crash", "scaling"})
FEW = 5


class FieldChange(NamedTuple):
    """A field's old and new value as text, "" for none; of a list what went and what came."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """An entry with the entries that complete it; `undo` is where it can be reverted."""

    entry: AuditEntry
    ends: Sequence[AuditEntry] = ()
    href: str = ""
    undo: str = ""
    whole: bool = False

    @property
    def icon(self) -> str:
        return ICONS.get(self.entry.action) or ICONS[self.entry.topic]

    @property
    def at(self) -> datetime:
        return timezone.localtime(self.entry.at)

    @property
    def day(self) -> str:
        """Return the day: Yesterday, 28 Nov 2026 (UTC)."""
        ago = (timezone.localdate() - self.at.date()).days
        name = {0: "Today, ", 1: "Yesterday, "}.get(ago, f"{self.at:%A}, ")
        return f"{name}{self.at.day} {self.at:%b %Y} ({self.at:%Z})"

    @cached_property
    def verb(self) -> str:
        if self.entry.action == Action.ROLL_BACK and "asked_version" not in self.entry.changes:
            return "Called off a release of"
        known = VERBS.get(self.entry.action, f"{self.entry.get_action_display()} {{kind}}")
        return known.format(kind=self.entry.kind)

    @cached_property
    def subject(self) -> str:
        changes = self.entry.changes
        asked = changes.get("asked_version") or changes.get("live_version")
        if self.entry.topic != "release" or not asked:
            return self.entry.name
        return str(asked[0 if self.entry.action == Action.FAIL else 1])

    @property
    def outcome(self) -> tuple[str, str]:
        """Return how it ended, as a state and in words; the words are empty for what has no end."""
        if not self.ends:
            return "", ""
        end = self.ends[-1]
        took = formats.milliseconds((end.at - self.entry.at).total_seconds() * 1000)
        return ("failed", "failed") if end.action == Action.FAIL else ("live", f"live after {took}")

    @property
    def reasons(self) -> list[str]:
        """Return why, and why it failed if it did."""
        failed = [end.reason for end in self.ends if end.action == Action.FAIL]
        at = 4000 if self.whole else 240
        return [Truncator(reason).chars(at) for reason in (self.entry.reason, *failed) if reason]

    @cached_property
    def differences(self) -> list[FieldChange]:
        changes, at = self.entry.changes.items(), 1000 if self.whole else 60
        some = list(changes) if self.whole else list(changes)[:FEW]
        return [_difference(name, *pair, at=at) for name, pair in some]

    @property
    def more(self) -> int:
        return len(self.entry.changes) - len(self.differences)

    @property
    def origin(self) -> str:
        entry = self.entry
        if entry.channel == AuditEntry.Channel.SYSTEM:
            return ""
        return formats.listed(entry.get_channel_display(), entry.address, entry.key_prefix)

    @property
    def url(self) -> str:
        return reverse("console-timeline", args=[self.entry.cause_id or self.entry.pk])


def events_of(
    application: Application | None = None,
    *,
    model: Model | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    rows: AuditEntryQuerySet,
    whole: bool = False,
) -> list[Event]:
    """Return the newest events among `rows`, or those about an application or a model of them.

    Whoever shows them checks that the reader may see what they are about.
    """
    if application is not None:
        rows = rows.touching(**reach_of(application))
    if model is not None:
        rows = rows.touching(applications=(), models=[model.pk])
    if since is not None:
        rows = rows.filter(at__gte=since)
    if until is not None:
        rows = rows.filter(at__lt=until)
    entries = list(rows.filter(cause_id__isnull=True)[:limit])
    ends = defaultdict[int, list[AuditEntry]](list)
    completing = AuditEntry.objects.filter(cause_id__in=[entry.pk for entry in entries])
    for end in completing.order_by("id"):
        ends[end.cause_id or 0].append(end)
    links = _links(entries)
    return [
        Event(
            entry=entry,
            ends=ends[entry.pk],
            href=links.get((entry.kind, entry.object_id or 0), ""),
            whole=whole,
        )
        for entry in entries
    ]


def marks(
    application: Application, since: datetime, until: datetime, *, rows: AuditEntryQuerySet
) -> list[dict[str, str]]:
    """Return the newest 200 events of a period among `rows` that charts mark."""
    events = events_of(application, since=since, until=until, limit=200, rows=rows)
    return [
        {
            "at": (event.ends[-1] if event.ends else event.entry).at.isoformat(),
            "label": formats.listed(f"{event.verb} {event.subject}", event.outcome[1]),
            "url": event.url,
            "kind": event.entry.topic,
        }
        for event in events
        if event.entry.topic in MARKED
    ]


def _links(entries: Iterable[AuditEntry]) -> Mapping[tuple[str, int], str]:
    """Return the pages of what is still there, by kind and key."""
    named = defaultdict[str, dict[int, str]](dict)
    for entry in entries:
        named[entry.kind][entry.object_id or 0] = entry.name
    links = dict[tuple[str, int], str]()
    for kind, names in named.items():
        if (model := LINKED.get(kind)) is None:
            continue
        there = model._default_manager.filter(pk__in=names).values_list("pk", flat=True)
        links |= {(kind, pk): url for pk in there if (url := _page(model, pk=pk, name=names[pk]))}
    return links


def _page(model: type[Row], *, pk: int, name: str) -> str:
    try:
        if model is Application:
            return reverse("console-application-page", args=[name])
        if model is User:
            return reverse("console-person", args=[pk])
        meta = model._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[pk])
    except NoReverseMatch:
        return ""


def _difference(name: str, old: Any, new: Any, *, at: int) -> FieldChange:
    if isinstance(old, list) and isinstance(new, list):
        old, new = ([item for item in a if item not in b] for a, b in ((old, new), (new, old)))
    if name == "routes":  # entries keep their role as well, and they have but one
        old, new = ([item.replace("(arm, ", "(weight ") for item in a or ()] for a in (old, new))
    shown = name.replace("_", " ")
    return FieldChange(
        "" if shown == "asked version" else shown, _text(old, at=at), _text(new, at=at)
    )


def _text(value: Any, *, at: int) -> str:
    """Return a text as it is, everything else as the API has it."""
    if value in (None, "", []):
        return ""
    if isinstance(value, list):
        value = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    return Truncator(value if isinstance(value, str) else json.dumps(value)).chars(at)
