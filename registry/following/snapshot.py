"""All of the registry, or one application, as the prediction path knows it."""

from core.arms import arms_of, weights_of
from core.errors import NotFound
from core.specs import ApplicationSpec, Snapshot
from registry.following.reading import application_spec, read_piece, version_spec
from registry.following.row_changes import KINDS, RowChange, changed, in_order
from registry.models import Application


def build_snapshot() -> Snapshot:
    """Read everything, a few hundred rows at a time. Blocking."""
    changes: list[RowChange] = []
    for kind in KINDS:
        after: int | None = 0
        while after is not None:
            reading, after = read_piece(kind, after)
            changes += [RowChange(*row, spec) for row, spec in reading.specs.items()]
    return changed(Snapshot(), in_order(changes))


def application_with_arms(application: Application) -> tuple[ApplicationSpec, dict[str, float]]:
    """Read one application, and the weights of its arms. Raises NotFound."""
    row = _read_anew(application)
    routes = row.routes.with_versions()
    versions = [v for r in routes for v in (r.pinned_version, r.model.live_version) if v]
    spec = application_spec(row)
    arms = arms_of(
        spec,
        versions={version.pk: version_spec(version) for version in versions},
        live={route.model_id: route.model.live_version_id for route in routes},
    )
    return spec, weights_of(arms)


def read_application(application: Application) -> ApplicationSpec:
    """Read one application anew. Raises NotFound if it is gone."""
    return application_spec(_read_anew(application))


def _read_anew(application: Application) -> Application:
    row = Application.objects.for_snapshot().filter(pk=application.pk).first()
    if row is None:
        raise NotFound(f"There is no application {application.name} any more.")
    return row
