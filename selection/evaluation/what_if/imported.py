"""Answers what if on decisions that another system logged: nothing of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.errors import BadRequest
from registry.models import Application
from registry.snapshot import application_with_arms
from selection.evaluation.imported.reading import ImportedLog
from selection.evaluation.offpolicy.log import Log
from selection.evaluation.what_if.evaluation import Evaluation, Outlook
from selection.evaluation.what_if.feedback import Kept
from selection.evaluation.what_if.targets import WhatIfTarget
from selection.evaluation.what_if.turn import TIME_LIMIT_S, time_spent, turn
from selection.evaluation.what_if.window import Span
from selection.policies import POLICIES, Policy, make_policy
from selection.policies.auto import Auto


def what_if_imported(
    application: Application,
    *,
    log: ImportedLog,
    targets: Iterable[WhatIfTarget] = (),
    usual: bool = True,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] | None = None,
) -> Outlook:
    """Estimate what each target would have earned on a log of others, among the log's own arms.

    Policies begin with nothing and learn as they go: what the application knows was learned from
    other decisions. Its own is looked at where it takes as many features as the log has. Otherwise
    as `what_if`.
    """
    with turn():
        clock = clock or time_spent()
        began = clock()
        spec, routed = application_with_arms(application)
        evaluation = Evaluation(
            spec,
            weights=_weights(log.arms, routed=routed),
            kept=Kept(
                queries=log.queries,
                whole=(),
                since=log.since,
                until=log.until,
                more=False,
                others=False,
            ),
            span=Span(rows=len(log.queries)),
            until=began + time_limit_s,
            clock=clock,
            log_for=lambda columns, policy: _encoded(columns, policy, log=log),
        )
        usually = evaluation.usual_targets() if usual else ()
        wanted = [target for target in usually if _learns(target) and _fits(target, log=log)]
        return evaluation.outlook([*wanted, *targets], began=began)


def with_features(
    given: Iterable[Mapping[str, Any]], *, log: ImportedLog, own: str
) -> list[Mapping[str, Any]]:
    """Return targets as they were named; a policy without parameters, other than the application's
    `own`, that takes features by place takes as many as the log has.
    """
    taken = {"params": {"dimensions": len(log.names)}}
    return [
        {**target, **taken}
        if log.names
        and "params" not in target
        and target.get("policy") != own
        and _takes_a_number_of_features(target.get("policy"))
        else target
        for target in given
    ]


def _takes_a_number_of_features(policy: str | None) -> bool:
    known = None if policy is None else POLICIES.get(policy)
    if known is None or all(parameter.name != "dimensions" for parameter in known.parameters):
        return False
    try:
        make_policy(known.name, {}).encode({"by name": 1.0})
    except BadRequest:
        return True
    return False


def check_imported(targets: Iterable[WhatIfTarget]) -> None:
    """Raise BadRequest for a target that goes by what the application knows now."""
    for place, target in enumerate(targets):
        if not _learns(target):
            raise BadRequest(
                f"targets.{place}.learning: expected true on an imported log: what is known now "
                "was learned from other decisions"
            )


def _learns(target: WhatIfTarget) -> bool:
    """Whether a target needs nothing that the application has learned."""
    known = None if target.policy is None else POLICIES.get(target.policy)
    return known is None or not known.learns or target.learning


def _fits(target: WhatIfTarget, *, log: ImportedLog) -> bool:
    """Whether the log has as many features as a target takes by place."""
    if target.policy not in POLICIES:
        return True
    taken: int = getattr(make_policy(target.policy, target.params), "dimensions", 0)
    return taken in (0, len(log.names))


def _weights(arms: Iterable[str], *, routed: Mapping[str, float]) -> dict[str, float]:
    """Return the routes' weights where all arms are routed; else all are alike."""
    named = tuple(arms)
    return (
        {arm: routed[arm] for arm in named}
        if set(named) <= set(routed)
        else dict.fromkeys(named, 1.0)
    )


def _encoded(columns: Log, policy: Policy, *, log: ImportedLog) -> Log:
    """Return the log with its features as a policy takes them, by place or by name."""
    takes = any(parameter.name == "dimensions" for parameter in policy.parameters)
    dimensions: int = getattr(policy, "dimensions", 0)
    if not takes or (isinstance(policy, Auto) and not dimensions):
        return columns
    if dimensions and dimensions != len(log.names):
        raise BadRequest(
            f"params: expected dimensions of {len(log.names)}, as many features as the log has, "
            f"got {dimensions}"
        )
    queries = []
    for query, features in zip(columns.queries, log.features, strict=True):
        given = [features.get(name, 0.0) for name in log.names] if dimensions else features
        queries.append(replace(query, features=policy.encode(given)))
    return replace(columns, queries=queries)
