"""Who may have a version run code: asked where it is uploaded and wherever it would first run."""

from __future__ import annotations

from core.errors import Forbidden
from registry.extensions import runs_code
from registry.models import ModelVersion, Release, Route
from registry.requirements import met_here, parse
from registry.services.actor import Actor

PERMISSION = "registry.run_code"


def check_may_run(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden where it runs code that somebody else wrote and `by` may not have it run.

    That is what its artifact brings, and the packages that it requires where the stack lacks them:
    building and importing them runs theirs.
    """
    if by.may_run_code or not (what := _what_runs(version)):
        return
    raise Forbidden(
        f"{what}, which needs the permission {PERMISSION}; {by.label} lacks it.",
        permission=PERMISSION,
    )


def _what_runs(version: ModelVersion) -> str:
    """What of it runs code of its own, "" where nothing does."""
    if version.allow_pickle:
        return "Loading pickle runs code that its artifact brings"
    if runs_code(version.runtime):
        return f"A version of the runtime {version.runtime} runs code that its artifact brings"
    required = parse(version.requirements, urls=True)
    if not met_here(required, python=version.python) and required:
        return "A version with requirements that the stack doesn't meet runs code that they bring"
    return ""


def check_may_run_version(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden where `by` would be the first to have this version's code serve.

    One whose replicas were started was by somebody who might; whoever may deploy may go back to it.
    """
    if not Release.objects.filter(version=version, started_at__isnull=False).exists():
        check_may_run(version, by=by)


def check_may_pin(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden where a route to this version would have its code run, and `by` may not.

    A pin starts replicas without a check; what another pins already runs.
    """
    if not Route.objects.filter(pinned_version=version).exists():
        check_may_run_version(version, by=by)
