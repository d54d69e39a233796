"""Models and their versions."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.api.body_parsers import JsonParser, is_json
from registry.api.new_version import NewRemoteVersion, NewVersion
from registry.api.permissions import actor_of, needs
from registry.api.serializers import (
    DeclaredModel,
    DeclaredModelOut,
    ModelChange,
    ModelOut,
    NewModel,
    Scale,
    VersionOut,
    VersionPatch,
)
from registry.api.views.management_view import ManagementView, find_model, find_version, schema
from registry.api.visibility import check_changes, models_for
from registry.artifacts.parts import UploadParts
from registry.models import Model, ModelVersion
from registry.services import Actor
from registry.services.models import Declared

APPROVALS = ("approvals", "approved_step")


class ModelsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("model")

    @schema("List the models", answer=ModelOut(many=True), paged=True)
    def get(self, request: Request) -> Response:
        return self.listing(models_for(request).with_versions(), shape=ModelOut)

    @schema("Register a model", body=NewModel, answer=ModelOut, status=201)
    def post(self, request: Request) -> Response:
        created = services.create_model(by=actor_of(request), **self.body(NewModel))
        return self.created(created, ModelOut, name=created.name)


class ModelView(ManagementView):
    for_bound_keys = ("GET", "PUT", "PATCH")
    permissions = needs("model") | {"PUT": ("registry.add_model", "registry.change_model")}

    @schema("Read a model", answer=ModelOut)
    def get(self, request: Request, model: str) -> Response:
        return self.shown(find_model(request, name=model), ModelOut)

    @schema(
        "Make a model what is declared", body=DeclaredModel, answer=DeclaredModelOut, created=True
    )
    def put(self, request: Request, model: str) -> Response:
        declared = declare_model(self, model, by=actor_of(request))
        shown = find_model(request, name=model)
        return self.declared(shown, ModelOut, created=declared.created, changed=declared.changed)

    @schema("Describe a model, or set the approvals it wants", body=ModelChange, answer=ModelOut)
    def patch(self, request: Request, model: str) -> Response:
        found = find_model(request, name=model, to_change=True)
        changes = self.body(ModelChange)
        wanted = {name: changes.pop(name) for name in APPROVALS if name in changes}
        with self.if_unchanged(found):
            if wanted:
                known = {name: getattr(found, name) for name in APPROVALS}
                services.want_approvals(model=found, by=actor_of(request), **(known | wanted))
            if changes:
                services.update_model(model=found, by=actor_of(request), **changes)
        return self.shown(found, ModelOut)

    @schema("Delete a model and its versions", status=204)
    def delete(self, request: Request, model: str) -> Response:
        found = find_model(request, name=model)
        with self.if_unchanged(found):
            services.delete_model(model=found, by=actor_of(request))
        return Response(status=204)


def declare_model(
    view: ManagementView, name: str, *, by: Actor, data: Mapping[str, Any] | None = None
) -> Declared:
    """Make a model what the request's body, or `data`, says, as far as the caller may."""
    found = view.declared_row(find_model, name=name)
    if found is not None:
        check_changes(view.request, model=found)
    wanted = view.validated(DeclaredModel, data).validated_data
    with view.if_unchanged(found):
        return services.declare_model(name=name, model=found, by=by, **wanted)


class VersionsView(ManagementView):
    parser_classes = [MultiPartParser, JsonParser]
    for_bound_keys = ("GET", "POST")
    permissions = needs("modelversion")

    @schema("List a model's versions, newest first", answer=VersionOut(many=True), paged=True)
    def get(self, request: Request, model: str) -> Response:
        rows = ModelVersion.objects.filter(model=find_model(request, name=model))
        rows = rows.select_related("model", "created_by", "last_check")
        return self.listing(rows, shape=VersionOut)

    @schema(
        "Upload a version",
        body={"multipart/form-data": NewVersion, "application/json": NewRemoteVersion},
        answer=VersionOut,
        status=201,
    )
    def post(self, request: Request, model: str) -> Response:
        created = self._create(find_model(request, name=model, to_change=True))
        return self.created(created, VersionOut, name=created.version)

    def _create(self, model: Model) -> ModelVersion:
        """Create a version from a form with an artifact, or from JSON for a remote model."""
        by = actor_of(self.request)
        if is_json(self.request):
            remote = self.validated(NewRemoteVersion).wanted()
            return services.create_remote_version(model=model, by=by, **remote)
        said = self.body(NewVersion)
        if "artifact" in said:
            return services.create_version(model=model, by=by, **said)
        with closing(UploadParts.default().whole(said["sha256"].lower())) as sent_before:
            return services.create_version(model=model, by=by, artifact=sent_before, **said)


class VersionView(ManagementView):
    for_bound_keys = ("GET", "PATCH", "DELETE")
    permissions = needs("modelversion")

    @schema("Read a version", answer=VersionOut)
    def get(self, request: Request, model: str, version: str) -> Response:
        return self.shown(find_version(request, model=model, version=version), VersionOut)

    @schema("Change how a version runs, live", body=VersionPatch, answer=VersionOut)
    def patch(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version, to_change=True)
        by, changes = actor_of(request), self.body(VersionPatch)
        secret = changes.pop("secret", None)
        with self.if_unchanged(found):
            if secret is not None:
                services.set_secret(version=found, secret=secret, by=by)
            changed = services.configure_version(version=found, by=by, **changes)
        return self.shown(changed, VersionOut)

    @schema("Delete a version that nothing uses", status=204)
    def delete(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version, to_change=True)
        with self.if_unchanged(found):
            services.delete_version(version=found, by=actor_of(request))
        return Response(status=204)


class ScaleView(ManagementView):
    for_bound_keys = ("POST",)
    permissions = needs("modelversion", POST="scale")

    @schema("Set how many replicas serve a version", body=Scale, answer=VersionOut)
    def post(self, request: Request, model: str) -> Response:
        found = find_model(request, name=model, to_change=True)
        wanted = self.body(Scale)
        version = (
            find_version(request, model=model, version=wanted["version"])
            if "version" in wanted
            else services.live_version_of(found)
        )
        scaled = services.configure_version(
            version=version, replicas=wanted["replicas"], by=actor_of(request)
        )
        return Response(VersionOut(scaled).data)
