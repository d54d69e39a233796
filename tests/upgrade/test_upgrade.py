"""A state that an older version left is opened by today's code, and nothing of it is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.integration.learning.test_rebuild import signed_in
from tests.integration.stack import Stack, post
from tests.upgrade.state import REPORTED, listed, report, unpack

# One line per request would bury what a failing test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

REPORT: dict[str, Any] = json.loads(REPORTED.read_text())
# What goes on by itself: queries of the demo are asked anew at each start.
COUNTED_ON = {"queries", "last_used_at"}
# Snapshots were moved to now.
TIMES = {"since", "at"}


def lost(
    old: Any,
    new: Any,
    *,
    apart_from: set[str] = COUNTED_ON,
    within: float = 0.0,
    where: str = "",
) -> list[str]:
    """Return where `new` lacks something of `old` or has it otherwise; it may have more fields.

    Numbers with a fraction may differ by so much as `within`.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        parts = [(key, value, new.get(key)) for key, value in old.items() if key not in apart_from]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        parts = [(str(number), *pair) for number, pair in enumerate(zip(old, new, strict=True))]
    elif isinstance(old, float) and isinstance(new, float) and abs(old - new) <= within:
        return []
    else:
        return [] if old == new else [f"{where}: {old!r} has become {new!r}"]
    return [
        fault
        for key, one, other in parts
        for fault in lost(one, other, apart_from=apart_from, within=within, where=f"{where}/{key}")
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    var = tmp_path_factory.mktemp("upgrade") / "var"
    var.mkdir(mode=0o700)
    unpack(var)
    running = Stack(var=var, settings={"CLIPPER_CPU_SLOTS": "4"})
    try:
        running.start()
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def now(stack: Stack) -> dict[str, Any]:
    """What is said of the state at first, before any test adds to it."""
    with stack.client() as client:
        return report(client)


def test_every_migration_has_run(stack: Stack) -> None:
    assert "Trained" not in stack.text
    stack.manage("migrate", "--check")


def test_models_versions_releases_and_applications_are_as_they_were(now: dict[str, Any]) -> None:
    old = dict(REPORT["lists"])
    assert old.pop("audit/")
    assert len(old["applications/"]) == 5
    assert {one["state"] for one in old["models/naive-bayes/releases/"]} == {"live", "failed"}
    assert lost(old, now["lists"]) == []


def test_the_audit_trail_goes_on(now: dict[str, Any]) -> None:
    old, new = ({str(one["id"]): one for one in said["lists"]["audit/"]} for said in (REPORT, now))
    assert len(old) > 40
    assert lost(old, new) == []


def test_what_was_learned_in_each_context_is_the_same(now: dict[str, Any]) -> None:
    """Trust in a context follows everybody as well since, whose queries are those of all."""
    learned = REPORT["learned"]
    policies = {arms[""]["policy"] for arms in learned.values()}
    assert policies == {"exp3", "exp4", "linucb", "thompson"}
    # Thompson's chances are integrals, exact to so much. What they are of is checked to the bit.
    for name, contexts in learned.items():
        for context, arms in contexts.items():
            apart_from = {"weight", "probability"} if context else {"queries"}
            if arms["policy"] == "linucb":  # whose sums have a constant since, and begin anew
                apart_from = {"weight", "probability", "queries"}
            new = now["learned"][name][context]
            assert lost(arms, new, within=1e-5, apart_from=apart_from) == []


def test_it_follows_from_the_older_feedback_to_the_bit_once_it_is_rebuilt(stack: Stack) -> None:
    """Everybody's state had learned nothing from contexts."""
    stack.manage("rebuild_selection_state")
    said = stack.manage("rebuild_selection_state", "--dry-run").splitlines()
    same = [line.partition(":")[0] for line in said if line.endswith("; Redis has the same.")]
    assert same == ["digits", "digits-single", "features", "receipts", "silence"], said


def test_the_history_of_learning_is_shown(now: dict[str, Any]) -> None:
    for path, points in REPORT["points"].items():
        assert points
        assert lost(points, now["points"][path][: len(points)], apart_from=TIMES) == []


def test_feedback_that_waited_in_redis_reaches_the_database(stack: Stack) -> None:
    assert stack.feedback_rows(context="pending", wait_for=REPORT["pending"]) == REPORT["pending"]


def test_a_person_signs_in_with_the_old_password_and_sees_it(stack: Stack) -> None:
    with signed_in(stack) as console:
        for page in ("registry/application/", "registry/release/", "registry/auditentry/"):
            shown = console.get(f"/admin/{page}")
            assert shown.status_code == 200
            assert "/admin/login/" not in str(shown.url)
        assert "mlp:2" in console.get("/admin/applications/digits/monitoring/").text


def test_old_models_answer_as_they_did(stack: Stack) -> None:
    with stack.client() as client:
        for old in REPORT["answers"]:
            answer = post(client, "digits/predict", {"input": old["input"]})
            assert (answer["output"], answer["models"]) == (old["output"], old["models"])


def test_keys_may_what_they_might(stack: Stack) -> None:
    assert asked_with(stack, "bound", application="digits").status_code == 200
    assert asked_with(stack, "bound", application="digits-single").json()["code"] == "forbidden"
    assert asked_with(stack, "reader", application="digits-single").status_code == 200
    assert asked_with(stack, "expired", application="digits").status_code == 401


def asked_with(stack: Stack, key: str, *, application: str) -> httpx.Response:
    headers = {"Authorization": f"Api-Key {REPORT['keys'][key]}"}
    with stack.client(headers=headers) as client:
        query = {"input": REPORT["answers"][0]["input"]}
        return client.post(f"/api/v1/applications/{application}/predict", json=query)


def test_an_old_receipt_counts_once(stack: Stack) -> None:
    told, untold = REPORT["receipts"]["told"], REPORT["receipts"]["untold"]
    forged = untold | {"query_id": untold["query_id"][::-1]}
    with stack.client() as client:
        said = post(client, "receipts/feedback", {"feedback": [told, untold, untold, forged]})
    assert (said["accepted"], said["duplicates"]) == (1, 2)
    assert [(one["index"], one["code"]) for one in said["rejected"]] == [(3, "invalid_receipt")]


@pytest.mark.long
def test_the_next_start_keeps_it_too(stack: Stack) -> None:
    with stack.client() as client:
        before = {path: listed(client, path) for path in REPORT["lists"]}
    learned = stack.learned("receipts", context="")
    assert sum(arm["feedback"] for arm in learned) >= 1
    assert stack.stop() == 0, stack.text
    stack.start()
    with stack.client() as client:
        assert lost(before, {path: listed(client, path) for path in before}) == []
    assert lost(learned, stack.learned("receipts", context="")) == []
    assert stack.stop() == 0, stack.text
