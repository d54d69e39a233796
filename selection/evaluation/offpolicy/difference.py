"""How much more one policy would have earned than another, row by row."""

from __future__ import annotations

import numpy as np

from selection.evaluation.offpolicy.estimate import Proposal
from selection.evaluation.offpolicy.evidence import Evidence
from selection.evaluation.offpolicy.intervals import SKEWNESS, Precision, Value


def difference(evidence: Evidence, first: Proposal, second: Proposal) -> Value | None:
    """Return by how much the first would have earned more; None where the log can't tell.

    Only where their chances differ there is something to estimate. Both choose among arms that had
    a chance in all rows, or in all but those that the interval makes up for.
    """
    if first.answers is not None or second.answers is not None or not len(evidence.log):
        return None
    log = evidence.log
    apart = np.broadcast_to(first.chances - second.chances, log.asked.shape)
    known = np.where(evidence.chances > 0.0, apart, 0.0)
    unknown = float(np.mean(np.sum(np.abs(apart - known), axis=1)))
    weights = np.where(log.asked, known / log.propensities, 0.0)
    model = evidence.expected
    value = float(np.mean(np.sum(known * model + weights * (log.rewards - model), axis=1)))
    load = known / np.where(evidence.chances > 0.0, evidence.chances, 1.0) / len(log)
    load *= evidence.inflation[:, None]
    spread = known * load / len(log)
    likely = evidence.settled * (1.0 - evidence.settled)
    precision = Precision(
        dispersion=float(np.sum(spread * evidence.dispersion * likely)),
        certain=0.0,
        model_error=float(np.sum(spread * (model - evidence.settled) ** 2))
        + first.wander
        + second.wander,
    )
    half = precision.half(1.0) + SKEWNESS * float(np.max(np.abs(load))) + unknown
    return Value(*(min(max(x, -1.0), 1.0) for x in (value, value - half, value + half)))
