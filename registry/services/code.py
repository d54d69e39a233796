"""Who may have a version run code: asked where it is uploaded and wherever it would first run."""

from __future__ import annotations

from registry.errors import Forbidden
from registry.extensions import runs_code
from registry.models import ModelVersion, Route
from registry.services.actor import Actor

PERMISSION = "registry.run_code"


def check_may_run(*, runtime: str, allow_pickle: bool, by: Actor) -> None:
    """Raise Forbidden where such a version runs code of its own and `by` may not have it run."""
    if by.may_run_code or not (allow_pickle or runs_code(runtime)):
        return
    what = "Loading pickle" if allow_pickle else f"A version of the runtime {runtime}"
    raise Forbidden(
        f"{what} runs code that its artifact brings, which needs the permission {PERMISSION}; "
        f"{by.label} lacks it.",
        permission=PERMISSION,
    )


def check_may_run_version(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden where `by` would be the first to have this version's code run.

    One that has passed its check was started by somebody who might; whoever may deploy may go
    back to it.
    """
    if version.validated_at is None:
        check_may_run(runtime=version.runtime, allow_pickle=version.allow_pickle, by=by)


def check_may_pin(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden where a route to this version would have its code run, and `by` may not.

    A pin starts replicas without a check; what another pins already runs.
    """
    if not Route.objects.filter(pinned_version=version).exists():
        check_may_run_version(version, by=by)
