"""Options of the client's methods; those left out aren't sent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, TypedDict
from urllib.parse import quote

# Stands for an option that is left out where None is a value like any other.
UNSET: Any = object()
Errors = Literal["raise", "keep"]
Moment = str | date | timedelta | None


class ScoreOptions(TypedDict, total=False):
    """`version` asks just this one (`model:version`), `context` says whose state counts."""

    version: str | None
    context: str | None


class ScoringOptions(ScoreOptions, total=False):
    """`progress` shows a bar; `errors` is `raise`, or `keep` for errors in the outputs' places."""

    progress: bool
    errors: Errors


class QueryOptions(ScoreOptions, total=False):
    """`key` names a user to keep with one version; `features` are for contextual policies."""

    key: str | None
    timeout_ms: float | None
    features: Sequence[float] | Mapping[str, float | str] | None
    explain: bool | None
    models: bool | None


class PlanOptions(TypedDict, total=False):
    """`gain` is the smallest one of interest, `days` how long a test may take.

    The others replace what was measured: `share` is that of a second version, `likeness` the
    correlation of two labels of one person.
    """

    gain: float | None
    days: float | None
    share: float | None
    labels_per_day: float | None
    mean: float | None
    people: float | None
    likeness: float | None


class ReplayOptions(TypedDict, total=False):
    """The captured queries to ask again: of an `application`, in a time, or of a named `set`."""

    application: str
    since: Moment
    until: Moment
    set: str | None


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that aren't None, which is how one is left out."""
    return {name: value for name, value in options.items() if value is not None}


def application_path(name: str, *rest: str) -> str:
    return "/".join(["/api/v1/applications", quote(name, safe=""), *rest])


def model_path(name: str, *rest: str) -> str:
    return "/".join(["/api/v1/models", quote(name, safe=""), *map(quote, rest)])


class DeployOptions(TypedDict, total=False):
    """Options of `deploy`; what is left out follows from the model or an `example` of its inputs.

    `app` is the application that asks it; `wait` is seconds, True ten minutes; `fields` are
    further ones of the upload. `rollout` is the plan by which it goes live, unless it is a model's
    first version, which has nothing to be compared with.
    """

    version: str | None
    example: Any
    app: str | None
    slo_ms: float | None
    default_output: Any
    runtime: str | None
    method: str | None
    requirements: str | Iterable[str] | None
    replicas: int
    reason: str
    allow_signature_change: bool
    rollout: str
    wait: bool | float
    input_type: str | None
    fields: Mapping[str, Any]
