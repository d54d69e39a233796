"""The live picture: several web processes become one, and it is for the staff."""

import json
import time
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from console.live.picture import combined, picture, process_rows, standing
from console.words import formats
from core.specs import ApplicationSpec, RouteSpec
from registry.models import Model
from registry.releases.control import KEPT_S, KEY, note_round
from serving.metrics.published import APPLICATION_COUNTERS, WEBS, Metrics
from serving.testing import application_spec
from tests.console.people import staff


def document(**application: Any) -> dict[str, Any]:
    counts = dict.fromkeys(APPLICATION_COUNTERS, 0) | {"queries": 100, "defaults": 1, "late": 2}
    return {
        "id": "web",
        "rss_bytes": 1 << 20,
        "applications": {"digits": {**counts, "rate": 10.0, "recent": counts, **application}},
        "versions": {"svm:1": {"hits": 3, "misses": 1}, "other:1": {"hits": 50, "misses": 50}},
    }


def test_processes_of_both_kinds_are_listed_with_what_they_tell() -> None:
    older = {"id": "a", "rss_bytes": 64 << 20}
    newer = {"id": "b", "pid": 812, "host": "app1", "since": time.time(), "rss_bytes": 67 << 20}
    console = newer | {"id": "c", "pid": 813, "rss_bytes": 130 << 20}
    rows = process_rows([newer, older], [console])
    assert [(row["id"], row["text"]) for row in rows] == [
        ("a", {"kind": "predict", "what": "—", "memory": "64 MiB", "since": ""}),
        ("b", said("predict", 812, memory="67 MiB")),
        ("c", said("console", 813, memory="130 MiB")),
    ]


def said(kind: str, pid: int, *, memory: str) -> dict[str, str]:
    what = f"process {pid} on app1"
    return {"kind": kind, "what": what, "memory": memory, "since": "started just now"}


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"compiled": True, "uncompiled": ""}, "process 812, compiled"),
        ({"compiled": False, "uncompiled": ""}, "process 812"),
        (
            {"compiled": False, "uncompiled": "is damaged"},
            "process 812, as Python: what is compiled is damaged",
        ),
    ],
)
def test_a_process_says_which_code_it_runs(told: dict[str, Any], shown: str) -> None:
    (row,) = process_rows([{"id": "a", "pid": 812} | told], [])
    assert row["text"]["what"] == shown


def digits(*, routes: int = 1) -> ApplicationSpec:
    route = RouteSpec(model_id=1, model="svm", role="arm", weight=1.0, pinned_version_id=None)
    return application_spec(slo_ms=50.0, policy="exp3", routes=(route,) * routes)


def test_counts_and_rates_of_web_processes_add_up_and_the_slowest_one_counts() -> None:
    one = document(rate=10.0, p50_ms=2.0, p99_ms=9.0)
    two = document(rate=30.0, p50_ms=6.0, p99_ms=40.0)

    traffic = combined([one, two], application="digits", arms=["svm:1"])

    assert (traffic.counts["queries"], traffic.counts["defaults"], traffic.counts["late"]) == (
        200,
        2,
        4,
    )
    assert (traffic.counts["hits"], traffic.counts["misses"]) == (6, 2)
    assert (traffic.rate, traffic.p50_ms, traffic.p99_ms) == (40.0, 6.0, 40.0)


def test_queries_that_ended_in_an_error_count_as_having_missed_the_objective() -> None:
    traffic = combined([document(errors=60, refused=60)], application="digits", arms=[])

    assert (traffic.asked, traffic.missed) == (160, 62)


@pytest.mark.parametrize(
    ("p99_ms", "rate", "routes", "arms", "state"),
    [
        (10.0, 5.0, 1, 1, "good"),
        (60.0, 5.0, 1, 1, "late"),
        (None, 0.0, 1, 1, "silent"),
        (10.0, 5.0, 0, 0, "stopped"),
        (10.0, 5.0, 1, 0, "stopped"),
    ],
)
def test_an_application_stands_as_its_traffic_and_its_routes_say(
    p99_ms: float | None, rate: float, routes: int, arms: int, state: str
) -> None:
    traffic = combined([document(p99_ms=p99_ms, rate=rate)], application="digits", arms=[])

    assert standing(traffic, spec=digits(routes=routes), arms=arms)[0] == state


@pytest.mark.parametrize(
    ("worded", "expected"),
    [
        (formats.rate(9310.4), "9,310"),
        (formats.rate(0.44), "0.4"),
        (formats.milliseconds(3.14159), "3.1 ms"),
        (formats.milliseconds(2500.0), "2.5 s"),
        (formats.milliseconds(None), "—"),
        (formats.share(0.0), "0 %"),
        (formats.share(0.0004), "< 0.1 %"),
        (formats.share(0.99999), "> 99.9 %"),
        (formats.share(1.0), "100 %"),
        (formats.count(12_400), "12.4k"),
        (formats.signed(12.44), "+12.4"),
        (formats.signed(-3.06), f"{formats.MINUS}3.1"),
        (formats.signed(-0.04), "0.0"),
        (formats.points_interval((0.9, 0.8, 1.0)), "+80.0 to +100.0"),
        (formats.points_interval(None), ""),
        (formats.mean(1.04), "1"),
        (formats.mean(3.42), "3.4"),
        (formats.mean(120.4), "120"),
        (formats.mebibytes(128 << 20), "128 MiB"),
    ],
)
def test_numbers_are_worded_short_and_honestly(worded: str, expected: str) -> None:
    assert worded == expected


@pytest.mark.django_db
def test_the_live_picture_is_for_the_staff(client: Client) -> None:
    assert client.get("/admin/live.json").json()["code"] == "unauthenticated"

    client.force_login(User.objects.create_user("someone"))
    assert client.get("/admin/live.json").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_silent_control_worker_is_said_at_the_head_of_the_page(
    db: None, server_redis: redis.Redis
) -> None:
    note_round(server_redis)
    assert picture()["problem"] == ""
    server_redis.pexpire(KEY, int((KEPT_S - 30) * 1000))

    live = picture()

    assert "is silent for 30 s" in live["problem"]
    assert live["reachable"]  # so that nobody is told that Redis is away


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_left_out_is_said_at_the_head_of_the_page(
    db: None, server_redis: redis.Redis
) -> None:
    note_round(server_redis)
    told = Metrics(process_id="a", pid=1).document(at=0.0, now=0.0, rss_bytes=1, versions={})
    told["registry"] = {"left_out": 1, "problem": "application 5 can't be read"}
    with server_redis.pipeline() as pipe:
        WEBS.write(pipe, "a", text=json.dumps(told).encode(), ttl_s=None)
        pipe.execute()

    assert picture()["problem"] == "application 5 can't be read"


@pytest.mark.django_db
@pytest.mark.usefixtures("server_redis")
def test_staff_get_the_live_picture_as_json(server_redis: redis.Redis) -> None:
    note_round(server_redis)
    Model.objects.create(name="svm", input_type="doubles")

    live = staff("view_modelversion").get("/admin/live.json").json()

    assert live["problem"] == ""
    assert live["web"]["text"]["processes"] == "0"
    assert live["models"][0]["text"]["version"] == "not deployed"
