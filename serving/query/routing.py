"""Routing of applications to the versions that are their arms now, in this web process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, cast

from core.specs import (
    APPLICATION,
    ARM_ROLE,
    MODEL,
    VERSION,
    ApplicationSpec,
    Arm,
    RouteSpec,
    Snapshot,
    arms_of,
    weights_of,
)
from registry.following.row_changes import RowChange, changed, differences
from selection.policies import Prepared, make_policy
from serving.engine.engine import Target
from serving.engine.gather import CallOptions
from serving.query.budget import seconds_to_answer
from serving.query.rollouts.canaries import Canary

Connected = Callable[[int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """An application's route weights and targets, by `model:version`, and terms of its queries.

    `canaries` are by the arms in whose place they are asked; their targets are among `targets`, but
    they have no weight: the policy knows nothing of them.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    targets: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))
    canaries: Mapping[str, Canary] = field(default_factory=dict)
    options: CallOptions
    within_s: float
    # The choice for keys that are held out of the application's policy.
    held_out: Prepared | None = None

    @classmethod
    def of(
        cls,
        application: ApplicationSpec,
        *,
        found: list[Arm],
        canaries: Mapping[str, Canary],
    ) -> Arms:
        targets = {arm.version.arm: Target.of(arm.version) for arm in found}
        targets |= {canary.arm: canary.target for canary in canaries.values()}
        weights = MappingProxyType(weights_of(found))
        holds_out = application.holdout_share > 0.0 and weights
        return cls(
            weights=weights,
            held_out=make_policy("static", {}).prepare({}, weights) if holds_out else None,
            targets=MappingProxyType(targets),
            canaries=canaries,
            options=CallOptions(
                tenant=application.id,
                priority=application.priority,
                cached=application.cache,
                max_age=math.inf if application.cache_ttl_s is None else application.cache_ttl_s,
            ),
            within_s=seconds_to_answer(application.slo_ms),
        )


class Touched(NamedTuple):
    """Names of applications and ids of versions that a change touches."""

    applications: set[str]
    versions: set[int]


class Router:
    """Follows the registry, but leaves a model's old version only for a connected new one.

    A process without a link to the new replicas yet keeps asking the old ones for that moment. The
    cost of a change grows with what it touches, not with the registry.
    """

    def __init__(self, *, connected: Connected) -> None:
        self.snapshot = Snapshot()
        self._connected = connected
        # The version that each model's routes ask here, and the models that wait for another.
        self._serving: dict[int, int] = {}
        self._behind: set[int] = set()
        # The versions that are rolled out, by the ids of their models.
        self._canaries: dict[int, int] = {}
        # By the ids of applications.
        self._applications: dict[int, ApplicationSpec] = {}
        self._arms: dict[int, Arms] = {}
        # The applications with a route to a model, by its id.
        self._askers: defaultdict[int, set[int]] = defaultdict(set)
        # The applications that ask a version, by its id.
        self._served: defaultdict[int, set[int]] = defaultdict(set)

    def apply(self, snapshot: Snapshot) -> Touched:
        """Follow the registry to this snapshot."""
        return self.follow(differences(self.snapshot, snapshot))

    def follow(self, changes: Sequence[RowChange]) -> Touched:
        """Follow these changes of the registry; return what they touch."""
        before, self.snapshot = self.snapshot, changed(self.snapshot, changes)
        touched = Touched(set(), set())
        applications: set[int] = set()
        models: set[int] = set()
        for kind, row_id, spec, *_ in changes:
            if kind == APPLICATION:
                applications.add(row_id)
                self._take_up(row_id, cast("ApplicationSpec | None", spec), touched)
            elif kind == MODEL:
                models.add(row_id)
            elif kind == VERSION:
                touched.versions.add(row_id)
                versions = before.versions.get(row_id), self.snapshot.versions.get(row_id)
                models |= {version.model_id for version in versions if version is not None}
        for model_id in models:
            self._settle(model_id)
            applications |= self._askers.get(model_id, set())
            touched.versions.update(self._note_canary(model_id))
        self._route(applications, touched)
        return touched

    def refresh(self) -> Touched:
        """Decide anew which version each model serves, after a replica came or went."""
        touched = Touched(set(), set())
        for model_id in list(self._behind):
            if self._settle(model_id):
                self._route(self._askers.get(model_id, ()), touched)
        for model_id in self._canaries:
            self._route(self._askers.get(model_id, ()), touched)
        return touched

    def arms(self, application: ApplicationSpec) -> Arms:
        """Return the application's arms; the same object until something changes."""
        return self._arms.get(application.id) or Arms.of(application, found=[], canaries={})

    def expected_versions(self) -> set[int]:
        """Return the versions that queries may wait for: routed here, or live."""
        live = {model.live_version_id for model in self.snapshot.models.values()}
        routed = self._served.keys() | set(self._canaries.values())
        return routed | {version for version in live if version is not None}

    def objective_ms(self, version_id: int) -> float | None:
        """Return the shortest objective of the applications that a version serves, if any."""
        served = self._served.get(version_id, ())
        return min((self._applications[one].slo_ms for one in served), default=None)

    def _take_up(self, application_id: int, spec: ApplicationSpec | None, touched: Touched) -> None:
        """Replace an application by this one; None: remove it."""
        known = self._applications.pop(application_id, None)
        if known is not None:
            touched.applications.add(known.name)
            for route in known.routes:
                _discard(self._askers, route.model_id, application_id)
        if spec is not None:
            touched.applications.add(spec.name)
            self._applications[application_id] = spec
            for route in spec.routes:
                self._askers[route.model_id].add(application_id)

    def _settle(self, model_id: int) -> bool:
        """Decide which version a model serves; return whether that is another one."""
        model, current = self.snapshot.models.get(model_id), self._serving.get(model_id)
        wanted = None if model is None else model.live_version_id
        if wanted is None:
            self._behind.discard(model_id)
            return self._serving.pop(model_id, None) is not None
        leaves = wanted != current and (
            current is None
            or current not in self.snapshot.versions
            or self._connected(wanted)
            or not self._connected(current)
        )
        if leaves:
            self._serving[model_id] = wanted
        if leaves or wanted == current:
            self._behind.discard(model_id)
        else:
            self._behind.add(model_id)
        return leaves

    def _route(self, applications: Iterable[int], touched: Touched) -> None:
        """Decide anew which arms these applications ask; old and new ones are touched."""
        for application_id in applications:
            known = self._arms.pop(application_id, None)
            for target in known.targets.values() if known else ():
                touched.versions.add(target.version.id)
                _discard(self._served, target.version.id, application_id)
            application = self._applications.get(application_id)
            if application is None:
                continue
            touched.applications.add(application.name)
            found = arms_of(application, versions=self.snapshot.versions, live=self._serving)
            canaries = {
                arm: canary
                for route, arm in self._following(application, found)
                if (canary := self._canary_of(route.model_id)) is not None
                and canary.arm not in {other.version.arm for other in found}
            }
            arms = Arms.of(application, found=found, canaries=canaries)
            if arms == known:
                arms = known
            self._arms[application_id] = arms
            for target in arms.targets.values():
                touched.versions.add(target.version.id)
                self._served[target.version.id].add(application_id)

    def _note_canary(self, model_id: int) -> set[int]:
        """Follow which version of a model is rolled out; return the one before and after."""
        model = self.snapshot.models.get(model_id)
        before = self._canaries.pop(model_id, None)
        after = None if model is None else model.canary_version_id
        if after is not None:
            self._canaries[model_id] = after
        return {version for version in (before, after) if version is not None}

    def _following(
        self, application: ApplicationSpec, found: list[Arm]
    ) -> Iterable[tuple[RouteSpec, str]]:
        """Return the routes that follow their model's live version, with the arm they ask here."""
        arms = {arm.version.id: arm.version.arm for arm in found}
        for route in application.routes:
            arm = arms.get(self._serving.get(route.model_id, 0))
            if route.pinned_version_id is None and route.role == ARM_ROLE and arm is not None:
                yield route, arm

    def _canary_of(self, model_id: int) -> Canary | None:
        """Return a model's canary, None while this process has no link to its replicas."""
        model = self.snapshot.models[model_id]
        version = self.snapshot.versions.get(self._canaries.get(model_id, 0))
        if version is None or model.rollout_id is None or not self._connected(version.id):
            return None
        return Canary(
            model.rollout_id,
            version.arm,
            Target.of(version),
            model.canary_share,
            model.canary_hedged,
            model.shadow_share,
        )


def _discard(index: dict[int, set[int]], key: int, application_id: int) -> None:
    """Remove an application from an index, and its entry if that is empty then."""
    if key in index:
        index[key].discard(application_id)
        if not index[key]:
            del index[key]
