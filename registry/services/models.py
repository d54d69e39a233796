"""Models: the names under which versions are uploaded and deployed."""

from dataclasses import dataclass

from django.db.models import ProtectedError

from core.errors import BadRequest, Conflict
from registry.following.recording import registry_write
from registry.models import Application, Model
from registry.services.actor import Actor
from registry.services.audit_trail import audited, record_created, record_deleted
from registry.services.deployment import end_releases
from registry.services.row_writes import checked, locked, save_new
from registry.services.versions import remove_unused_artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The result of a declaration, with the names of changed fields."""

    created: bool
    changed: list[str]


@registry_write
def create_model(*, name: str, input_type: str, description: str = "", by: Actor) -> Model:
    """Register a model without versions. Raises Conflict if the name is taken."""
    model = Model(name=name, input_type=input_type, description=description)
    checked(model, unique=False)
    save_new(model, conflict=Conflict(f"Model {name} exists already.", model=name))
    record_created(model, by=by)
    return model


@registry_write
def update_model(*, model: Model, description: str, by: Actor) -> Model:
    with audited(model, by=by):
        model.description = description
        model.save(update_fields=["description"])
    return model


def delete_model(*, model: Model, by: Actor) -> None:
    """Delete a model and its versions; its releases stay. Raises Conflict if it is routed."""
    try:
        with registry_write:
            # So that nobody uploads to it or routes to it while it goes.
            locked(model)
            record_deleted(model, by=by)
            end_releases(model, reason=f"{model.name} was deleted by {by.label}.")
            digests = list(model.versions.values_list("digest", flat=True))
            Model.objects.filter(pk=model.pk).update(live_version=None)
            model.delete()
            remove_unused_artifacts(digests)
    except ProtectedError as error:
        routing = Application.objects.filter(routes__model=model).distinct().order_by("name")
        users = list(routing.values_list("name", flat=True))
        raise Conflict(
            f"{model.name} is routed by {', '.join(users)}: delete these applications first, or "
            "give them other routes (PUT /api/v1/applications/{application}/routes).",
            applications=users,
        ) from error


@registry_write
def declare_model(
    *,
    name: str,
    model: Model | None,
    input_type: str | None = None,
    description: str | None = None,
    by: Actor,
) -> Declared:
    """Make the model, or None for a new one, what is declared. Raises Conflict, BadRequest."""
    if model is None:
        if input_type is None:
            raise BadRequest(f"Expected input_type, as {name} isn't there yet.")
        try:
            create_model(name=name, input_type=input_type, description=description or "", by=by)
            return Declared(created=True, changed=["input_type", "description"])
        except Conflict:
            # Another caller may just have declared the same.
            if (model := Model.objects.filter(name=name).first()) is None:
                raise
    check_input_type(model, input_type=input_type)
    if description in (None, model.description):
        return Declared(created=False, changed=[])
    update_model(model=model, description=description or "", by=by)
    return Declared(created=False, changed=["description"])


def check_input_type(row: Application | Model, *, input_type: str | None) -> None:
    """Raise Conflict for another input type than the row has."""
    if input_type not in (None, row.input_type):
        raise Conflict(
            f"{row.name} takes {row.input_type}, which can't change, got {input_type}.",
            name=row.name,
            input_type=row.input_type,
        )
