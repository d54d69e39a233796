"""What a log tells of its arms before any target is asked about, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selection.evaluation.offpolicy.chances import plausible_chances
from selection.evaluation.offpolicy.clusters import kept_together, likeness, sizes_of
from selection.evaluation.offpolicy.log import Floats, Log
from selection.evaluation.offpolicy.reward_model import expected_rewards, settled_rewards

# How much less rewards differ than right or wrong ones would is believed as if so many answers of
# each arm had differed as much as they can.
DISBELIEF = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A log with, for each row and arm (n x K), the plausible `chances` and the `expected` rewards.

    By row (n), `kin` are the queries whose arm was drawn together with its own, and `inflation`
    says how much less it tells than an independent one. By arm (K), `settled` is the mean reward
    and `dispersion` the variance of rewards as a share of what right or wrong ones of it have.
    """

    log: Log
    chances: Floats
    expected: Floats
    kin: Floats
    inflation: Floats
    settled: Floats
    dispersion: Floats


def evidence_of(log: Log) -> Evidence:
    """Return what the log tells of its arms."""
    sticky = kept_together(log)
    settled = settled_rewards(log)
    # Contexts that keep their arms as people do have the same chances.
    alike = sticky and not log.keyed
    groups = np.zeros(len(log), dtype=np.intp) if alike else log.contexts
    kin = sizes_of(log) if sticky else np.ones(len(log))
    rho = likeness(log, settled=settled) if sticky else 0.0
    return Evidence(
        log=log,
        chances=plausible_chances(log, groups=groups),
        expected=expected_rewards(log),
        kin=kin,
        inflation=1.0 + rho * (kin - 1.0),
        settled=settled,
        dispersion=_dispersion(log),
    )


def _dispersion(log: Log) -> Floats:
    arms = range(len(log.arms))
    return np.array([spread_of(log.rewards[log.asked[:, k], k]) for k in arms])


def spread_of(rewards: Floats) -> float:
    """Return the variance of rewards as a share of what right or wrong ones of their mean have."""
    n = len(rewards)
    mean = float(np.mean(rewards)) if n else 0.0
    most = mean * (1.0 - mean)
    if most <= 0.0:
        return 1.0
    ratio = min(float(np.var(rewards)) / most, 1.0)
    return (n * ratio + DISBELIEF) / (n + DISBELIEF)
