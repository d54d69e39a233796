"""Which versions are an application's arms at this moment, in this web process."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from registry.arms import arms_of, weights_of
from registry.specs import ApplicationSpec, Snapshot, VersionSpec
from serving.engine.gather import CallOptions

CACHE_PREFIX = struct.Struct("<QI")

Connected = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Target:
    """A version that may be asked, and the prefix of its keys in the prediction cache."""

    version: VersionSpec
    key_prefix: bytes

    @classmethod
    def of(cls, version: VersionSpec) -> Target:
        return cls(version, CACHE_PREFIX.pack(version.id, version.generation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """What an application routes to: route weights and targets, by `model:version`."""

    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    targets: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))


class Router:
    """Follows the registry, but leaves a model's old version only for a connected new one.

    A release goes live for everyone at once; a process that has no link to the new replicas yet
    keeps asking the old version for the moment that takes, so that no query falls between.
    """

    def __init__(self, *, connected: Connected) -> None:
        self.snapshot = Snapshot()
        self._connected = connected
        self._serving: dict[int, int] = {}
        self._arms: dict[str, Arms] = {}
        self._terms: dict[int, CallOptions] = {}

    def apply(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._terms = {
            application.id: _terms_of(application) for application in snapshot.applications.values()
        }
        self.refresh()

    def refresh(self) -> None:
        """Decide anew which version each model serves; call it when a replica came or went."""
        for model in self.snapshot.models.values():
            wanted, current = model.live_version_id, self._serving.get(model.id)
            if wanted is None:
                self._serving.pop(model.id, None)
            elif wanted != current and (
                current is None
                or current not in self.snapshot.versions
                or self._connected(wanted)
                or not self._connected(current)
            ):
                self._serving[model.id] = wanted
        for gone in self._serving.keys() - self.snapshot.models.keys():
            del self._serving[gone]
        self._arms = {
            name: self._arms_of(application)
            for name, application in self.snapshot.applications.items()
        }

    def arms(self, application: ApplicationSpec) -> Arms:
        """Return the application's arms; the same object until something changes."""
        return self._arms.get(application.name) or Arms()

    def options(self, application: ApplicationSpec) -> CallOptions:
        """Return on which terms the application asks."""
        return self._terms.get(application.id) or _terms_of(application)

    def routed_versions(self) -> set[int]:
        return {
            target.version.id for arms in self._arms.values() for target in arms.targets.values()
        }

    def expected_versions(self) -> set[int]:
        """Versions that queries may wait for: routed here, or live in the registry."""
        live = {model.live_version_id for model in self.snapshot.models.values()}
        return self.routed_versions() | {version for version in live if version is not None}

    def objectives_ms(self) -> dict[int, float]:
        """Return, for each routed version, the shortest objective of the applications it serves."""
        tightest: dict[int, float] = {}
        for name, arms in self._arms.items():
            slo_ms = self.snapshot.applications[name].slo_ms
            for target in arms.targets.values():
                known = tightest.get(target.version.id, slo_ms)
                tightest[target.version.id] = min(known, slo_ms)
        return tightest

    def _arms_of(self, application: ApplicationSpec) -> Arms:
        found = arms_of(application, versions=self.snapshot.versions, live=self._serving)
        targets = {arm.version.arm: Target.of(arm.version) for arm in found}
        known = self._arms.get(application.name)
        arms = Arms(weights=MappingProxyType(weights_of(found)), targets=MappingProxyType(targets))
        return known if known == arms else arms


def _terms_of(application: ApplicationSpec) -> CallOptions:
    return CallOptions(
        tenant=application.id,
        priority=application.priority,
        cached=application.cache,
        max_age=math.inf if application.cache_ttl_s is None else application.cache_ttl_s,
    )
