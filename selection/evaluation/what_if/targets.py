"""Targets of a what-if: one arm alone, all arms alike, or a policy with its parameters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadRequest
from core.specs import ApplicationSpec
from selection.policies import make_policy

# Not a policy that an application can have, but what others are measured by.
UNIFORM = "uniform"
STATIC = "static"
MOST_TARGETS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfTarget:
    """Either an `arm`, or a `policy` with its `params`; one that learns does so as it goes."""

    arm: str | None = None
    policy: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The target in words."""
        if self.arm is not None:
            return f"{self.arm} alone"
        if self.policy == UNIFORM:
            return "every version alike"
        if self.policy == STATIC:
            return "static: by route weight"
        values = ", ".join(f"{name} {value:g}" for name, value in self.params.items())
        return f"{self.policy} ({values})" if values else str(self.policy)

    def described(self) -> dict[str, Any]:
        """Return it as the API names it."""
        if self.arm is not None:
            return {"arm": self.arm}
        return {"policy": self.policy, "params": dict(self.params)}


def policy_target(
    application: ApplicationSpec, *, policy: str, params: Mapping[str, Any] | None = None
) -> WhatIfTarget:
    """Return a policy as a target; without `params` with the application's own or the defaults.

    Raises `BadRequest` if there is no such policy or it takes no such parameters.
    """
    if policy == UNIFORM:
        if params:
            raise BadRequest(f"params: {UNIFORM!r} takes none")
        return WhatIfTarget(policy=UNIFORM)
    make_policy(policy, params or {})
    if params is None:
        params = application.policy_params if policy == application.policy else {}
    return WhatIfTarget(policy=policy, params=dict(params))


def usual_targets(application: ApplicationSpec, *, arms: Sequence[str]) -> list[WhatIfTarget]:
    """Return what is shown where nothing is asked for: each arm, and what is there to compare."""
    own = policy_target(application, policy=application.policy)
    # Single arms among the usual targets.
    targets = [WhatIfTarget(arm=arm) for arm in arms[:12]]
    targets += [WhatIfTarget(policy=UNIFORM), WhatIfTarget(policy=STATIC), own]
    return list({repr(target): target for target in targets}.values())


def check_targets(targets: Sequence[WhatIfTarget], *, arms: Collection[str]) -> None:
    """Raise `BadRequest` where a target names an arm that is neither routed nor in the log."""
    if len(targets) > MOST_TARGETS:
        raise BadRequest(f"targets: expected at most {MOST_TARGETS}, got {len(targets)}")
    for target in targets:
        if target.arm is not None and target.arm not in arms:
            known = ", ".join(arms) or "none: nothing is routed and nothing was asked"
            raise BadRequest(f"targets: expected an arm out of {known}, got {target.arm!r}")
