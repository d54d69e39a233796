"""What a question may say beside its input; what is left out isn't sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, TypedDict

# For telling what is left out from None, which is an output like any other.
UNSET: Any = object()
Errors = Literal["raise", "keep"]


class ScoreOptions(TypedDict, total=False):
    """`version` asks just this one (`model:version`), `context` says whose state counts."""

    version: str | None
    context: str | None


class ScoringOptions(ScoreOptions, total=False):
    """`progress` shows a bar; `errors` is `raise`, or `keep` for errors in the outputs' places."""

    progress: bool
    errors: Errors


class QueryOptions(ScoreOptions, total=False):
    """`key` names whom to keep with one version, a user say; `timeout_ms` shortens the objective,
    `features` are for contextual policies, `explain` has the answer say where its time went, and
    `models=False` leaves out what each model said.
    """

    key: str | None
    timeout_ms: float | None
    features: Sequence[float] | Mapping[str, float | str] | None
    explain: bool | None
    models: bool | None


class ExportOptions(TypedDict, total=False):
    """Which rows: of feedback that came from `since` on and before `until` (a time, how long ago as
    a timedelta or `"7d"`), of these `versions`, as `model:version`. `kinds` is one of feedback,
    decisions and predictions, or several. `frame=False` gives a list of dicts.
    """

    since: str | date | timedelta | None
    until: str | date | timedelta | None
    versions: str | Iterable[str]
    kinds: str | Iterable[str]
    frame: bool


class DeployOptions(TypedDict, total=False):
    """What `deploy` may be told beside the model.

    Its `version` is the next number, `app` the application that is to ask it, with `slo_ms` and
    `default_output`. A version that takes something else than the live one goes live only with
    `allow_signature_change`. `wait` is for how many seconds at most, True ten minutes. `fields` are
    further ones of the upload. The rest says what doesn't follow from the model, such as its
    `runtime`, `method`, `input_type` and `requirements`, or from an `example` of its inputs.
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
    wait: bool | float
    input_type: str | None
    progress: bool | None
    fields: Mapping[str, Any]


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say something: None is how one is left out."""
    return {name: value for name, value in options.items() if value is not None}
