"""The page People & keys: who may do what, and where; programs and when they asked last."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from console.access import actor, may, page_with
from console.pages.new_application import snippets
from console.words.events import Event, events_of
from core.errors import ClipperError, Forbidden
from core.redis.key_uses import KeyUse, read_key_uses
from core.redis.redis_client import redis_client
from registry.models import ApiKey, Application, AuditEntry
from registry.models.application import ROLES
from registry.security.grants import grant_of
from registry.services import (
    add_person,
    audited,
    remove_person,
    set_active,
    set_password,
    set_role,
)
from registry.services.roles import who_may
from selection.store.redis_keys import REDIS_ERRORS

SEE_PEOPLE, SEE_KEYS = "auth.view_user", "registry.view_apikey"
ADD, CHANGE, REMOVE = "auth.add_user", "auth.change_user", "auth.delete_user"
SHOWN = 200
MEANING = {
    "viewer": "sees everything",
    "operator": "rolls back, scales, mutes, labels",
    "approver": "approves rollouts of others as well",
    "deployer": "uploads, deploys, changes settings",
    "admin": "manages people and keys as well",
}


class PersonForm(forms.Form):
    """A person's name, role, and the applications that it is for."""

    name = forms.CharField(
        max_length=150,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="People sign in with it: a name or an e-mail address.",
    )
    role = forms.ChoiceField(
        choices=[(role, f"{role}: {MEANING[role]}") for role in ROLES],
        widget=UnfoldAdminSelectWidget,
    )
    applications = forms.ModelMultipleChoiceField(
        Application.objects.order_by("name"),
        label="Only for",
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none for all applications, those to come as well.",
    )


def people(request: HttpRequest, person_id: int | None = None) -> HttpResponse:
    """Show people and keys, and the form of one; a POST adds somebody, or changes that one."""
    if not may(request, SEE_PEOPLE) and not may(request, SEE_KEYS):
        raise PermissionDenied
    person = None if person_id is None else get_object_or_404(User, pk=person_id)
    may_save = may(request, CHANGE if person else ADD)
    if not may_save and (person or request.method == "POST"):
        raise PermissionDenied
    form = PersonForm(request.POST or None, initial=_now(person))
    form.fields["name"].disabled = person is not None
    if request.method == "POST" and _done(request, person, form):
        return redirect("console-people")
    return page_with(
        request,
        "people",
        title=f"{person}" if person else "People & keys",
        form=form if may_save else None,
        person=person,
        fixed=person is not None and (person == request.user or person.is_superuser),
        people=_people() if may(request, SEE_PEOPLE) else None,
        more=max(0, User.objects.count() - SHOWN),
        keys=_keys() if may(request, SEE_KEYS) else None,
        roles=ROLES,
        acts=who_may(),
        yesterday=timezone.localdate() - timedelta(days=1),
    )


def own_password(request: HttpRequest) -> HttpResponseBase:
    """The page where people change their own password, recorded like any other change."""
    person = User.objects.get(pk=cast(User, request.user).pk)
    with audited(person, by=actor(request)):
        return admin.site.password_change(request)


def _now(person: User | None) -> dict[str, Any]:
    if person is None:
        return {}
    grant = grant_of(person)
    return {"name": person, "role": grant.role, "applications": list(grant.applications or ())}


def _done(request: HttpRequest, person: User | None, form: PersonForm) -> bool:
    """Do what the button says; return whether that was possible."""
    by = actor(request)
    try:
        if person is not None and "password" in request.POST:
            if not person.has_usable_password():
                raise Forbidden(f"{person} signs in with the provider, and has no password.")
            _show_password(request, person)
        elif person is not None and "active" in request.POST:
            active = request.POST["active"] == "yes"
            set_active(person=person, active=active, by=by)
            how = "may sign in again" if active else "is locked, and signed out"
            messages.success(request, f"{person} {how}.")
        elif person is not None and "remove" in request.POST and may(request, REMOVE):
            remove_person(person=person, by=by)
            messages.success(request, f"{person} is removed, and signed out.")
        elif form.is_valid():
            given = form.cleaned_data
            role, where = given["role"], list(given["applications"]) or None
            if person is None:
                made = add_person(name=given["name"], role=role, applications=where, by=by)
                _show_password(request, made)
            else:
                set_role(person=person, role=role, applications=where, by=by)
                messages.success(request, f"{person} is {role} from now on.")
        else:
            return False
    except ClipperError as error:
        messages.error(request, error.message)
        return False
    return True


def _show_password(request: HttpRequest, person: User) -> None:
    made = set_password(person=person, by=actor(request))
    messages.warning(request, shown_once(made, what=f"password of {person}"))


def show_key(request: HttpRequest, key: ApiKey, *, text: str) -> None:
    """Show a new key in a message, this once, with how to ask or to join by it."""
    application = key.applications.first() if key.bound else Application.objects.first()
    how = snippets(request, application, key=text)[:2] if application and key.can_predict else []
    if key.joins:
        origin = request.build_absolute_uri("/").rstrip("/")
        command = f"clipper worker --join {origin} --token-file token"
        how = [("On the host, with this in the file token", command)]
    messages.warning(request, shown_once(text, snippets=how))


def shown_once(text: str, *, what: str = "key", snippets: Sequence[tuple[str, str]] = ()) -> str:
    """Return a message with a secret, and how to use it."""
    context = {"what": what, "text": text, "snippets": snippets}
    return render_to_string("console/shown_once.html", context)


def _people() -> list[dict[str, Any]]:
    rows = User.objects.order_by("-is_active", "username")[:SHOWN]
    acts = _last_acts([row.pk for row in rows])
    names = dict(Application.objects.values_list("pk", "name"))
    found = []
    for row in rows:
        grant = grant_of(row)
        where = sorted(names[pk] for pk in grant.applications or () if pk in names)
        found.append({"row": row, "role": grant.role, "where": where, "act": acts.get(row.pk)})
    return found


def _last_acts(people: list[int]) -> dict[int, Event]:
    """Return the last thing that each of these people did, by their keys."""
    done = AuditEntry.objects.filter(user_id__in=people, cause_id=None).order_by()
    last = done.values("user_id").annotate(last=Max("pk")).values("last")
    events = events_of(rows=AuditEntry.objects.filter(pk__in=last), limit=SHOWN)
    return {event.entry.user_id: event for event in events if event.entry.user_id}


def _keys() -> list[dict[str, Any]]:
    """Return the newest keys, those that work first of all."""
    try:
        uses = read_key_uses(redis_client())
    except REDIS_ERRORS:
        uses = {}
    rows = ApiKey.objects.prefetch_related("applications")[:SHOWN]
    found = [
        {"key": key, "may": sorted(key.scopes), "use": uses.get(key.pk, KeyUse())} for key in rows
    ]
    return sorted(found, key=lambda row: not row["key"].is_active)
