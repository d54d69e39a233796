"""Tries a declaration out before any of it is made."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any, ClassVar

from django.db import OperationalError, transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Forbidden, NotFound
from registry import services
from registry.api.error_shape import translated
from registry.api.fields import Body, Object, Text
from registry.api.new_version import NewRemoteVersion, TriedVersion
from registry.api.permissions import Permissions, actor_of
from registry.api.serializers import VersionPatch
from registry.api.views.application_views import declare_application
from registry.api.views.key_views import KeyPatch, NewKey, check_key_changes
from registry.api.views.management_view import (
    ManagementView,
    find_application,
    find_model,
    find_version,
    schema,
)
from registry.api.views.model_views import declare_model
from registry.api.visibility import bound_to
from registry.following.recording import registry_write
from registry.models import ApiKey, Model
from registry.models.rollouts.rollout_plans import AT_ONCE
from registry.services import Actor
from registry.services.versions import REMOTE

DECLARE = "declare"


class DeclaredStep(Body):
    """One row as it is to be, or to go: `name` is MODEL:VERSION of a version.

    `declared` of a model to deploy is its `version`, and of a key to delete its `id`.
    """

    action = Text(
        required=False, default=DECLARE, help_text="declare, deploy (a model) or delete; declare."
    )
    kind = Text(help_text="One of model, version, application, key.")
    name = Text()
    declared = Object(help_text="Its fields, as a declaration has them.")

    def validate(self, step: dict[str, Any]) -> dict[str, Any]:
        what = step["action"], step["kind"]
        if what not in TRIED:
            known = ", ".join(map(" ".join, TRIED))
            raise serializers.ValidationError(f"Expected one of {known}, got {' '.join(what)}.")
        return step


class DeclaredSteps(Body):
    steps = serializers.ListField(
        child=DeclaredStep(),
        max_length=500,  # a millisecond or two each, in which nobody else writes to SQLite
        help_text="In the order in which they are to be taken.",
    )


class RefusedOut(serializers.Serializer[Any]):
    """A step that can't be taken, and why."""

    action = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField()
    error = serializers.CharField()
    code = serializers.CharField()
    details = serializers.DictField()


class JudgementOut(serializers.Serializer[Any]):
    refused = RefusedOut(many=True)


class DeclarationsView(ManagementView):
    """Takes each step in a transaction that is undone."""

    for_bound_keys = only_reads = ("POST",)
    permissions: ClassVar[Permissions] = {
        "POST": (
            "registry.view_application",
            "registry.view_model",
            "registry.view_modelversion",
            "registry.view_apikey",
        ),
    }

    @schema("Say what of a declaration would be refused", body=DeclaredSteps, answer=JudgementOut)
    def post(self, request: Request) -> Response:
        steps = self.body(DeclaredSteps)["steps"]
        refused: list[dict[str, Any]] = []
        with registry_write:
            for step in steps:
                missing = {each["name"] for each in refused if each["action"] == DECLARE}
                needs_model = step["kind"] == "version" or step["action"] == "deploy"
                if step["name"].partition(":")[0] not in missing or not needs_model:
                    refused += filter(None, [self._tried(step, missing=missing)])
            transaction.set_rollback(True)
        return Response({"refused": refused})

    def _tried(self, step: Mapping[str, Any], *, missing: Set[str]) -> dict[str, Any] | None:
        try:
            with transaction.atomic():
                declared = _without(step["declared"], missing=missing)
                TRIED[step["action"], step["kind"]](self, step["name"], declared)
        except OperationalError:
            raise  # that the database can't do it now says nothing of what is declared
        except Exception as error:
            known = translated(error)
            if known is None:
                raise
            said = {name: step[name] for name in ("action", "kind", "name")}
            return {**said, **known.body()}
        return None


def _without(declared: Mapping[str, Any], *, missing: Set[str]) -> dict[str, Any]:
    """Leave out lists that name what was refused: that it isn't there is no further fault."""
    return {
        name: value
        for name, value in declared.items()
        if name not in ("routes", "applications") or missing.isdisjoint(_names_in(value))
    }


def _names_in(listed: Any) -> Iterator[str]:
    """Yield what a list of routes or of applications names."""
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping):
            yield str(entry.get("model"))
            yield f"{entry.get('model')}:{entry.get('version')}"
        else:
            yield str(entry)


def _by(request: Request) -> Actor:
    """Return the actor; a key that only reads is answered as one that may do everything."""
    by = actor_of(request)
    key = request.auth
    if isinstance(key, ApiKey) and not key.can_manage:
        return replace(by, may_run_code=True, may_grant_manage=True, may_grant_read=True)
    return by


def _model(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    declare_model(view, name, by=_by(view.request), data=said)


def _version(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    model_name, _, version = name.partition(":")
    model = find_model(view.request, name=model_name, to_change=True)
    found, by = model.versions.filter(version=version).first(), _by(view.request)
    # Who says what it is wants it made: that it is there meanwhile is what is wrong.
    if found is not None and "runtime" not in said:
        changes = dict(view.validated(VersionPatch, said).validated_data)
        changes.pop("secret", None)
        services.configure_version(version=found, by=by, **changes)
        return
    said = {"version": version, **said}
    if said.get("runtime") == REMOTE:
        remote = view.validated(NewRemoteVersion, said).wanted()
        services.create_remote_version(model=model, by=by, tried=True, **remote)
    else:
        services.try_version(
            model=model, by=by, **view.validated(TriedVersion, said).validated_data
        )


def _application(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    declare_application(view, name, by=_by(view.request), data=said)


def _key(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    if bound_to(view.request) is not None:
        raise Forbidden("This key is bound to applications and manages no other key.")
    found = ApiKey.objects.filter(name=name, revoked_at__isnull=True).first()
    if found is None:
        taken = view.validated(NewKey, {"name": name, **said})
        services.create_api_key(by=_by(view.request), **taken.wanted(view.request))
        return
    _check_key(view.request, key=found)
    changes = view.validated(KeyPatch, said).validated_data
    services.update_api_key(key=found, changes=changes, by=_by(view.request))


def _check_key(request: Request, *, key: ApiKey) -> None:
    if isinstance(own := request.auth, ApiKey) and own.can_manage:
        check_key_changes(request, key=key)


def _deploy(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    """Deploy a version that exists; one that the declaration makes is judged by its own step."""
    model = find_model(view.request, name=name, to_change=True)
    version = model.versions.filter(version=str(said.get("version"))).first()
    if version is not None:
        plan = str(said.get("rollout", AT_ONCE))
        services.deploy(version=version, by=_by(view.request), rollout=plan)
    # It is live by the time that the next steps are taken, and the one before can go.
    Model.objects.filter(pk=model.pk).update(live_version=version)


def _delete_model(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    services.delete_model(model=find_model(view.request, name=name), by=_by(view.request))


def _delete_version(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    model, _, version = name.partition(":")
    found = find_version(view.request, model=model, version=version, to_change=True)
    services.delete_version(version=found, by=_by(view.request))


def _delete_application(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    found = find_application(view.request, name=name)
    services.delete_application(application=found, by=_by(view.request))


def _delete_key(view: DeclarationsView, name: str, said: Mapping[str, Any]) -> None:
    keys = ApiKey.objects.filter(name=name)
    found = next((key for key in keys if key.pk == said.get("id")), None)
    if found is None:
        raise NotFound(f"There is no API key {name!r} that works.")
    _check_key(view.request, key=found)
    services.revoke_api_key(key=found, by=_by(view.request))


TRIED: Mapping[tuple[str, str], Callable[[DeclarationsView, str, Mapping[str, Any]], None]] = {
    (DECLARE, "model"): _model,
    (DECLARE, "version"): _version,
    (DECLARE, "application"): _application,
    (DECLARE, "key"): _key,
    ("deploy", "model"): _deploy,
    ("delete", "model"): _delete_model,
    ("delete", "version"): _delete_version,
    ("delete", "application"): _delete_application,
    ("delete", "key"): _delete_key,
}
