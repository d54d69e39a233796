"""Changes of the registry lead to where a whole reading does, however they are followed: one by one
or together, whichever announcements are lost.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ClipperError
from core.specs import Snapshot
from registry import services
from registry.following.reading import (
    application_spec,
    build_snapshot,
    last_number,
    read_newer,
    read_piece,
    version_spec,
)
from registry.following.row_changes import KINDS, RowChange, RowKey, Spec, in_order, specs_by_row
from registry.models import ApiKey, Application, Model, ModelVersion, ServiceLevelObjective
from registry.services import RouteRequest
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


# Past everything that records changes.


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
RECORDED: tuple[Write, ...] = (
    *(create_application, update_application, set_objective, replace_routes, delete_application),
    *(create_model, delete_model, create_version, bring_live, configure_version, delete_version),
    *(create_key, revoke_key, bind_key, delete_key),
)
SILENT: tuple[Write, ...] = (rename_model, update_in_bulk, delete_in_sql)
EXAMPLES = 12


class Follower:
    """A web process without its loop: it reads what is newer, or everything."""

    def __init__(self) -> None:
        self.number = 0
        self.router = Router(connected=lambda _: True)

    @property
    def snapshot(self) -> Snapshot:
        return self.router.snapshot

    def follow(self) -> None:
        reading = read_newer(self.number)
        assert reading is not None
        self._apply(reading.specs)
        self.number = reading.number

    def heal(self) -> None:
        """Read everything."""
        self.number = last_number()
        specs: dict[RowKey, Spec | None] = dict.fromkeys(specs_by_row(self.snapshot))
        for kind in KINDS:
            after: int | None = 0
            while after is not None:
                reading, after = read_piece(kind, after)
                specs |= reading.specs
        self._apply(specs)

    def _apply(self, specs: dict[RowKey, Spec | None]) -> None:
        # In slices of one, each of which has to make sense.
        for change in in_order(RowChange(*row, spec) for row, spec in specs.items()):
            self.router.follow([change])


@contextmanager
def undone() -> Iterator[None]:
    """Do what is inside to a database that is as before afterwards."""
    with suppress(InterruptedError), transaction.atomic():
        yield
        raise InterruptedError


STEPS = st.lists(
    st.tuples(
        st.sampled_from(RECORDED + RECORDED + SILENT),
        st.sampled_from(NAMES),
        st.integers(0, 15),
        # What is done before the next change: nothing stands for a lost announcement.
        st.sampled_from(("", "follow", "heal")),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.parametrize("piece", [2, 200])
def test_changes_lead_to_where_a_whole_reading_does(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("registry.following.reading.PIECE", piece)

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def follow(steps: list[tuple[Write, str, int, str]]) -> None:
        with undone():
            _play(steps)

    follow()


def _play(steps: list[tuple[Write, str, int, str]]) -> None:
    follower = Follower()
    for name in NAMES[:2]:
        create_model(name, 0)
        create_version(name, 0)
        bring_live(name, 0)
        create_application(name, 3)
    follower.heal()
    assert follower.snapshot == build_snapshot()
    behind = False
    for write, name, number, then in steps:
        with suppress(ClipperError, ObjectDoesNotExist, IntegrityError), transaction.atomic():
            write(name, number)
        behind = (behind or write in SILENT) and then != "heal"
        if then:
            getattr(follower, then)()
            assert behind or follower.snapshot == build_snapshot()
    follower.heal() if behind else follower.follow()
    _check(follower)


def _check(follower: Follower) -> None:
    whole = build_snapshot()
    assert follower.snapshot == whole
    # Read by the ORM the specs are the same.
    assert whole.applications == {
        row.name: application_spec(row) for row in Application.objects.with_everything()
    }
    assert whole.versions == {
        row.pk: version_spec(row) for row in ModelVersion.objects.select_related("model")
    }
    fresh = Router(connected=lambda _: True)
    fresh.apply(whole)
    for spec in whole.applications.values():
        assert follower.router.arms(spec) == fresh.arms(spec)
    assert follower.router.expected_versions() == fresh.expected_versions()
    for version_id in whole.versions:
        assert follower.router.objective_ms(version_id) == fresh.objective_ms(version_id)
