"""Application of registry changes to the routes, engine and counters of a web process."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from core.specs import Snapshot
from registry.following.row_changes import RowChange
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.engine import Engine, VersionSettings
from serving.metrics.published import Metrics
from serving.query.budget import seconds_to_answer
from serving.query.routing import Router


class ServedRegistry:
    """Applies changes of the registry and of the replicas to what they touch."""

    def __init__(self, *, router: Router, engine: Engine, metrics: Metrics) -> None:
        self._router = router
        self._engine = engine
        self._metrics = metrics
        self._coming: set[int] = set()

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Follow these changes of the registry."""
        touched = self._router.follow(changes)
        self._metrics.forget(touched.applications, arms_of=self._arms_of)
        self._tell_engine(touched.versions)

    @property
    def snapshot(self) -> Snapshot:
        return self._router.snapshot

    def forget_gone(self) -> None:
        """Forget counts of late queries for what is gone."""
        self._metrics.forget(arms_of=self._arms_of)

    def expect(self, records: Iterable[ReplicaRecord]) -> None:
        """Let queries wait for the versions of replicas that are on their way."""
        self._coming = {record.version_id for record in records if record.is_supply}
        self._expect()

    def replica_came_or_went(self) -> None:
        """Follow a release that waited for a link."""
        self._tell_engine(self._router.refresh().versions)

    def _tell_engine(self, versions: Collection[int]) -> None:
        """Tell the engine which versions to expect, and the settings of these."""
        self._expect()
        self._engine.configure(self._settings(versions))

    def _expect(self) -> None:
        self._engine.expect(self._router.expected_versions() | self._coming)

    def _settings(self, versions: Collection[int]) -> Mapping[int, VersionSettings | None]:
        settings: dict[int, VersionSettings | None] = {}
        for version_id in versions:
            version = self._router.snapshot.versions.get(version_id)
            if version is None:
                settings[version_id] = None
                continue
            objective_ms = self._router.objective_ms(version_id)
            settings[version_id] = (
                VersionSettings(batching=version.batching)
                if objective_ms is None
                else VersionSettings(
                    batching=version.batching, answer_within_s=seconds_to_answer(objective_ms)
                )
            )
        return settings

    def _arms_of(self, name: str) -> Collection[str] | None:
        application = self._router.snapshot.applications.get(name)
        return None if application is None else self._router.arms(application).weights
