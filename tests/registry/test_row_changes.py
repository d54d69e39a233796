"""Changes of the registry lead to where a whole reading does, however they are followed: one by one
or together, whichever notices are lost, and wherever a comparison stands in between.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
import redis
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.changes import CHANGES_CHANNEL, notice_in
from core.errors import ClipperError
from core.specs import Snapshot
from registry import services
from registry.models import ApiKey, Application, Model, ModelVersion, ServiceLevelObjective
from registry.notices import CommitNotice
from registry.reading import compare, read_rows
from registry.row_changes import KINDS, START, Known, RowChange, RowPlace, changed
from registry.services import RouteRequest
from registry.snapshot import application_spec, build_snapshot, version_spec
from serving.query.routing import Router
from tests.registry.conftest import BY, go_live

pytestmark = pytest.mark.django_db

NAMES = ("a", "b", "c")


def application(name: str) -> Application:
    return Application.objects.get(name=name)


def routes_of(number: int) -> list[RouteRequest]:
    """To some of the models, one of them pinned."""
    there = set(Model.objects.values_list("name", flat=True))
    models = [name for bit, name in enumerate(NAMES) if number >> bit & 1 and name in there]
    pinned = ModelVersion.objects.filter(model__name__in=models).order_by("pk").first()
    return [
        RouteRequest(
            model=name,
            version=pinned.version if number & 8 and pinned and pinned.model.name == name else None,
            weight=1.0 + number,
        )
        for name in models
    ]


def create_application(name: str, number: int) -> None:
    services.create_application(
        name=name,
        input_type="doubles",
        slo_ms=50.0,
        public=number % 2 == 1,
        routes=routes_of(number),
        allow_signature_change=True,
        by=BY,
    )


def update_application(name: str, number: int) -> None:
    services.update_application(
        application=application(name),
        changes={"public": number % 2 == 1, "policy": ("static", "exp3", "exp4")[number % 3]},
        by=BY,
    )


def set_objective(name: str, number: int) -> None:
    services.set_objective(application=application(name), latency_ms=10.0 + number, by=BY)


def replace_routes(name: str, number: int) -> None:
    services.replace_routes(
        application=application(name),
        routes=routes_of(number),
        allow_signature_change=True,
        by=BY,
    )


def delete_application(name: str, number: int) -> None:
    services.delete_application(application=application(name), by=BY)


def create_model(name: str, number: int) -> None:
    services.create_model(name=name, input_type="doubles", by=BY)


def delete_model(name: str, number: int) -> None:
    services.delete_model(model=Model.objects.get(name=name), by=BY)


def create_version(name: str, number: int) -> None:
    services.create_version(
        model=Model.objects.get(name=name),
        version=str(number),
        runtime="sklearn",
        artifact=io.BytesIO(b"artifact %d" % number),
        by=BY,
    )


def a_version(name: str, number: int) -> ModelVersion:
    versions = list(ModelVersion.objects.filter(model__name=name).order_by("pk"))
    if not versions:
        raise ModelVersion.DoesNotExist
    return versions[number % len(versions)]


def bring_live(name: str, number: int) -> None:
    go_live(a_version(name, number))


def configure_version(name: str, number: int) -> None:
    services.configure_version(
        version=a_version(name, number), max_batch_size=1 + number, max_replicas=4, by=BY
    )
    services.autoscale(version_id=a_version(name, number).pk, replicas=1 + number % 4)


def delete_version(name: str, number: int) -> None:
    services.delete_version(version=a_version(name, number), by=BY)


def create_key(name: str, number: int) -> None:
    bound = list(Application.objects.filter(name__in=NAMES[: number % 4]))
    expires_at = timezone.now() + timedelta(days=1) if number % 2 else None
    services.create_api_key(
        name=name, scopes=["predict"], by=BY, applications=bound, expires_at=expires_at
    )


def a_key(number: int) -> ApiKey:
    keys = list(ApiKey.objects.order_by("pk"))
    if not keys:
        raise ApiKey.DoesNotExist
    return keys[number % len(keys)]


def revoke_key(name: str, number: int) -> None:
    services.revoke_api_key(key=a_key(number), by=BY)


def bind_key(name: str, number: int) -> None:
    application(name).keys.set([a_key(number)])


def delete_key(name: str, number: int) -> None:
    a_key(number).delete()


# Past everything that announces.


def rename_model(name: str, number: int) -> None:
    Model.objects.filter(name=name).update(name=f"renamed-{number}")
    Model.objects.filter(name=f"renamed-{number - 1}").update(name=name)


def update_in_bulk(name: str, number: int) -> None:
    ServiceLevelObjective.objects.update(latency_ms=100.0 + number)
    ModelVersion.objects.filter(model__name=name).update(threads=1 + number)


def delete_in_sql(name: str, number: int) -> None:
    with connection.cursor() as cursor:
        for table in ("registry_apikey_applications", "registry_route"):
            cursor.execute(
                f"DELETE FROM {table} WHERE application_id IN "
                "(SELECT id FROM registry_application WHERE name = %s)",
                [name],
            )
        cursor.execute(
            "DELETE FROM registry_servicelevelobjective WHERE application_id IN "
            "(SELECT id FROM registry_application WHERE name = %s)",
            [name],
        )
        cursor.execute("DELETE FROM registry_application WHERE name = %s", [name])


Write = Callable[[str, int], None]
ANNOUNCED: tuple[Write, ...] = (
    *(create_application, update_application, set_objective, replace_routes, delete_application),
    *(create_model, delete_model, create_version, bring_live, configure_version, delete_version),
    *(create_key, revoke_key, bind_key, delete_key),
)
SILENT: tuple[Write, ...] = (rename_model, update_in_bulk, delete_in_sql)
KEPT, LOST = "kept", "lost"
EXAMPLES = 12


class Follower:
    """What a web process knows, without its loop: readings and pieces of a comparison."""

    def __init__(self) -> None:
        self.known: Known = {kind: {} for kind in KINDS}
        self.snapshot = Snapshot()
        self.router = Router(connected=lambda _: True)
        self.pending: defaultdict[str, set[int]] = defaultdict(set)
        self.place: RowPlace | None = START
        self.behind = False

    def follow(self) -> None:
        ids, self.pending = self.pending, defaultdict(set)
        self._apply(read_rows(ids, known=self.known))

    def compare(self) -> None:
        """The next piece; what is gone is read once more, at the end."""
        found, self.place = compare(self.place or START, known=self.known)
        here = []
        for change in found:
            if change.row is None:
                self.pending[change.kind].add(change.id)
            else:
                here.append(change)
        self._apply(here)

    def heal(self) -> None:
        """A whole comparison, from the beginning, and what was found gone."""
        self.place = START
        while self.place is not None:
            self.compare()
        self.follow()
        self.behind = False

    def _apply(self, changes: Collection[RowChange]) -> None:
        # In slices of one, each of which has to make sense.
        for change in changes:
            self.snapshot = changed(self.snapshot, [change])
            self.router.follow([change])
            if change.row is None:
                self.known[change.kind].pop(change.id, None)
            else:
                self.known[change.kind][change.id] = change.row


@contextmanager
def undone() -> Iterator[None]:
    """Do what is inside to a database that is as before afterwards."""
    with suppress(InterruptedError), transaction.atomic():
        yield
        raise InterruptedError


def announced(heard: redis.client.PubSub) -> dict[str, frozenset[int]]:
    """Send what has been changed, as the commit would, and return what is heard of it."""
    notices = [entry[1] for entry in connection.run_on_commit]
    connection.run_on_commit.clear()
    found: dict[str, frozenset[int]] = {}
    for notice in notices:
        if isinstance(notice, CommitNotice):
            notice()
            message = heard.get_message(timeout=30)
            assert message is not None
            told = notice_in(message["data"])
            assert told is not None
            for kind, ids in told.ids.items():
                found[kind] = found.get(kind, frozenset()) | ids
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from(ANNOUNCED + ANNOUNCED + SILENT),
        st.sampled_from(NAMES),
        st.integers(0, 15),
        # What becomes of its notice, and what is done before the next change.
        st.sampled_from((KEPT, KEPT, KEPT, LOST)),
        st.sampled_from(("", "follow", "compare", "heal")),
    ),
    min_size=1,
    max_size=10,
)


@pytest.fixture
def heard(server_redis: redis.Redis) -> Iterator[redis.client.PubSub]:
    with server_redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANGES_CHANNEL)
        pubsub.get_message(timeout=30)  # the subscription itself
        yield pubsub


@pytest.mark.parametrize("piece", [2, 200])
def test_changes_lead_to_where_a_whole_reading_does(
    heard: redis.client.PubSub, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("registry.reading.PIECE", piece)

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def follow(steps: list[tuple[Write, str, int, str, str]]) -> None:
        with undone():
            _play(steps, heard=heard)

    follow()


def _play(steps: list[tuple[Write, str, int, str, str]], *, heard: redis.client.PubSub) -> None:
    follower = Follower()
    for name in NAMES[:2]:
        create_model(name, 0)
        create_version(name, 0)
        bring_live(name, 0)
        create_application(name, 3)
    announced(heard)
    follower.heal()
    assert follower.snapshot == build_snapshot()
    for write, name, number, fate, then in steps:
        with suppress(ClipperError, ObjectDoesNotExist, IntegrityError), transaction.atomic():
            write(name, number)
        ids = announced(heard)
        if fate == KEPT:
            for kind in KINDS:
                follower.pending[kind] |= ids.get(kind, frozenset())
        follower.behind |= fate == LOST or write in SILENT
        if then:
            getattr(follower, then)()
        if then in {"follow", "heal"} and not follower.behind:
            assert follower.snapshot == build_snapshot()
    follower.heal() if follower.behind else follower.follow()
    _check(follower)


def _check(follower: Follower) -> None:
    whole = build_snapshot()
    assert follower.snapshot == whole
    # Read by the ORM the specs are the same.
    assert whole.applications == {
        row.name: application_spec(row) for row in Application.objects.for_snapshot()
    }
    assert whole.versions == {
        row.pk: version_spec(row) for row in ModelVersion.objects.select_related("model")
    }
    fresh = Router(connected=lambda _: True)
    fresh.apply(whole)
    for spec in whole.applications.values():
        assert follower.router.arms(spec) == fresh.arms(spec)
        assert follower.router.options(spec) == fresh.options(spec)
    assert follower.router.expected_versions() == fresh.expected_versions()
    for version_id in whole.versions:
        assert follower.router.objective_ms(version_id) == fresh.objective_ms(version_id)
