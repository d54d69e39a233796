"""Feedback is verified, teaches what it should, and counts once however often it is sent."""

import asyncio
import struct
import time

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from core.errors import BadRequest, Unavailable
from selection.feedback.events import FeedbackItem
from selection.feedback.intake.service import FeedbackService
from selection.receipts import SHADOWED, ReceiptSigner, RolloutDraw, Spent, shadow_nonce
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec
from tests.redis_server import redis_server
from tests.selection.caller import ANN, APP, ARMS, GLOBAL, Caller, events, losses, sums


def packed(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


async def test_a_label_moves_each_arm_by_its_loss(caller: Caller, aredis: Redis) -> None:
    result = await caller.send(caller.label(b"7", outputs=(b"7", b"7.0", b"1")))
    assert (result.accepted, result.duplicates, result.rejected) == (1, 0, ())
    assert await losses(aredis) == {"svm:2": 0.0, "tree:1": 0.0, "knn:1": 1.0}
    assert await sums(aredis, "rew") == {
        "svm:2": (1.0, 1.0, 1.0), "tree:1": (1.0, 1.0, 1.0), "knn:1": (1.0, 0.0, 0.0)
    }  # fmt: skip
    counted = {k: v for k, v in (await aredis.hgetall(GLOBAL)).items() if k.startswith(b"n:")}
    assert counted == {b"n:svm:2": b"1", b"n:tree:1": b"1", b"n:knn:1": b"1"}


async def test_a_label_says_how_the_combined_answer_stands_up_to_it(
    caller: Caller, aredis: Redis
) -> None:
    await caller.send(caller.label(b"7", outputs=(b"7", b"7.0", b"1")))
    await caller.send(caller.label(b"1", outputs=(b"7", b"7", b"1")))
    first, second = (event.answer for event in await events(aredis))
    assert first is not None
    assert second is not None
    assert (first.rewards, second.rewards) == ([1.0, 1.0], [0.0, 0.0])
    # Texts of one value count once.
    assert len(first.slots) == 2
    assert first.slots == second.slots
    assert sorted(await sums(aredis, "ans")) == sorted(ARMS)
    await caller.send(caller.label(context="ann"))
    assert await sums(aredis, "ans", ANN) == {}


async def test_it_counts_once_however_often_it_is_sent(caller: Caller, aredis: Redis) -> None:
    item = caller.label()
    assert (await caller.send(item)).accepted == 1
    again = await caller.send(item, item)
    assert (again.accepted, again.duplicates) == (0, 2)
    assert (await losses(aredis))["knn:1"] == 1.0
    assert len(await events(aredis)) == 1


async def test_many_processes_sending_the_same_count_it_once(caller: Caller, aredis: Redis) -> None:
    item = caller.label()
    results = await asyncio.gather(*(caller.send(item) for _ in range(20)))
    assert sum(r.accepted for r in results) == 1
    assert (await losses(aredis))["knn:1"] == 1.0


async def test_a_window_made_longer_takes_nothing_that_may_have_counted(
    caller: Caller, aredis: Redis
) -> None:
    longer = application_spec(feedback_window_s=86_400)
    old = int(time.time() * 1000) - 10_000_000
    label = caller.label(issued_at_ms=old, window_s=3600)
    (rejected,) = (await caller.send(label, application=longer)).rejected
    assert "older than the feedback window of 3600 s" in rejected.error
    assert (await caller.send(caller.label(issued_at_ms=old), application=longer)).accepted == 1


async def test_a_window_made_shorter_and_longer_again_counts_nothing_twice(
    caller: Caller, aredis: Redis
) -> None:
    label = caller.label(window_s=86_400)
    assert (await caller.send(label)).accepted == 1
    (key,) = await aredis.keys("clipper:feedback:seen:*")
    assert await aredis.ttl(key) > 86_400


# --- arms and contexts that are new -----------------------------------------------------------


async def test_a_label_in_a_context_teaches_it_alone_and_everybody(
    caller: Caller, aredis: Redis
) -> None:
    known = {"rew:svm:2": packed(2.0, 0.75, 0.5), "rew:tree:1": packed(4.0, 0.75, 0.5)}
    await aredis.hset(GLOBAL, mapping=known)
    await caller.send(caller.label(context="ann"))
    assert await losses(aredis, ANN) == {
        "svm:2": 0.0, "tree:1": 0.0, "knn:1": 1.0
    }  # fmt: skip
    assert await losses(aredis) == {
        "svm:2": 1.25, "tree:1": 3.25, "knn:1": 1.0
    }  # fmt: skip
    assert await sums(aredis, "pairs") == dict.fromkeys(ARMS, (0.0, 0.0, 0.0, 0.0))
    await caller.send(caller.label(context="ann", outputs=(b"7", b"7", b"1")))
    assert (await sums(aredis, "pairs"))["tree:1"] == (1.0, 1.0, 1.0, 1.0)
    assert (await sums(aredis, "pairs"))["knn:1"] == (1.0, 0.0, 0.0, 0.0)
    assert await aredis.ttl(ANN) > 0
    assert await aredis.ttl(GLOBAL) == -1


async def test_feedback_on_a_chosen_version_is_kept_but_moves_nothing(
    caller: Caller, aredis: Redis
) -> None:
    result = await caller.send(caller.label(forced=True))
    assert result.accepted == 1
    assert await aredis.hgetall(GLOBAL) == {}
    (event,) = await events(aredis)
    assert event.forced
    assert event.arms[2].loss == 1.0


async def test_feedback_on_a_key_held_out_says_so(caller: Caller, aredis: Redis) -> None:
    await caller.send(caller.label(forced=True, held_out=True))
    assert await aredis.hgetall(GLOBAL) == {}
    (event,) = await events(aredis)
    assert (event.forced, event.held_out, event.defaulted) == (True, True, False)


async def test_feedback_says_that_the_default_output_was_given(
    caller: Caller, aredis: Redis
) -> None:
    await caller.send(caller.label(defaulted=True))
    (event,) = await events(aredis)
    assert event.defaulted


@pytest.mark.parametrize(
    ("cascade_below", "noted"),
    # The answer of a cascade may be a dearer arm's.
    [(None, [("shadow reward", 1.0)]), (0.9, [])],
)
async def test_a_shadow_is_compared_with_the_live_answer_without_its_price(
    aredis: Redis,
    signer: ReceiptSigner,
    store: SelectionStore,
    outputs: OutputStore,
    cascade_below: float | None,
    noted: list[tuple[str, float]],
) -> None:
    found: list[tuple[str, float]] = []
    service = FeedbackService(
        aredis,
        signer=signer,
        store=store,
        outputs=outputs,
        note_draw=lambda application_id, draw, gate, loss: found.append((gate, loss)),
    )
    caller, nonce = Caller(service, signer), b"n" * 12
    outputs.keep(shadow_nonce(nonce), outputs={"svm:3": b"1"}, ttl_s=60)
    draw = RolloutDraw(9, "svm:3", "svm:2", SHADOWED, taken=False)
    label = caller.label(b"7", nonce=nonce, rollouts=(draw,), spent=(Spent(0.2),) * 3)
    priced = application_spec(lateness_price=0.5, cascade_below=cascade_below)
    assert (await caller.send(label, application=priced)).accepted == 1
    assert found == noted


# --- refused --------------------------------------------------------------------------------


async def refused(caller: Caller, aredis: Redis, item: FeedbackItem, because: str) -> None:
    result = await caller.send(item)
    assert (result.accepted, result.duplicates) == (0, 0)
    assert result.rejected[0].code == "invalid_receipt"
    assert because in result.rejected[0].error
    assert await aredis.dbsize() == 0


async def test_a_forged_receipt_changes_nothing(caller: Caller, aredis: Redis) -> None:
    token = caller.signer.sign(caller.receipt())
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    await refused(caller, aredis, FeedbackItem(query_id=forged, label=Raw(b"7")), "query_id")


async def test_another_applications_receipt_changes_nothing(caller: Caller, aredis: Redis) -> None:
    await refused(caller, aredis, caller.label(application_id=2), "another application")


@pytest.mark.parametrize("window_s", [0, 86_400])
async def test_an_expired_receipt_changes_nothing(
    caller: Caller, aredis: Redis, window_s: int
) -> None:
    old = caller.label(issued_at_ms=int(time.time() * 1000) - 3_601_000, window_s=window_s)
    await refused(caller, aredis, old, "feedback window of 3600 s")


async def test_only_what_comes_after_its_window_is_noted_as_expired(
    aredis: Redis, signer: ReceiptSigner, store: SelectionStore, outputs: OutputStore
) -> None:
    expired: list[str] = []
    caller = Caller(
        FeedbackService(
            aredis,
            signer=signer,
            store=store,
            outputs=outputs,
            note_expired=lambda application: expired.append(application.name),
        ),
        signer,
    )
    await caller.send(caller.label(), caller.label(application_id=2))
    assert expired == []
    await caller.send(caller.label(issued_at_ms=int(time.time() * 1000) - 3_601_000))
    assert expired == [APP.name]


async def test_one_bad_item_is_refused_alone_and_by_its_place(
    caller: Caller, aredis: Redis
) -> None:
    bad = FeedbackItem(query_id="nonsense", label=Raw(b"7"))
    result = await caller.send(caller.label(), bad, BadRequest("malformed item"), caller.label())
    assert result.accepted == 2
    assert [(r.index, r.code) for r in result.rejected] == [
        (1, "invalid_receipt"),
        (2, "malformed"),
    ]


# --- large outputs --------------------------------------------------------------------------


async def test_outputs_kept_beside_the_receipt_are_joined(
    caller: Caller, aredis: Redis, outputs: OutputStore
) -> None:
    receipt = caller.receipt(outputs=(None, None, None), stored=True)
    outputs.keep(receipt.nonce, outputs={"svm:2": b"7", "knn:1": b"1"}, ttl_s=60)
    await caller.send(FeedbackItem(query_id=caller.signer.sign(receipt), label=Raw(b"7")))
    assert await losses(aredis) == {"svm:2": 0.0, "tree:1": 1.0, "knn:1": 1.0}


async def test_a_label_whose_outputs_are_gone_is_refused_but_a_reward_counts(
    caller: Caller, aredis: Redis
) -> None:
    receipt = caller.receipt(outputs=(None, None, None), stored=True)
    token = caller.signer.sign(receipt)
    await refused(caller, aredis, FeedbackItem(query_id=token, label=Raw(b"7")), "no longer kept")
    assert (await caller.send(FeedbackItem(query_id=token, reward=1.0))).accepted == 1
    # Which of them had answered isn't known, so none is blamed for having not.
    assert await losses(aredis) == {"svm:2": 0.0, "tree:1": 0.0, "knn:1": 0.0}


# --- Redis restarts -------------------------------------------------------------------------


async def test_what_was_accepted_survives_the_kill_of_redis_and_a_resend_counts_nothing(
    signer: ReceiptSigner,
) -> None:
    with redis_server(durable=True) as server:
        async with Redis.from_url(server.url, retry=None) as client:
            store = SelectionStore(client)
            service = FeedbackService(
                client, signer=signer, store=store, outputs=OutputStore(client)
            )
            caller = Caller(service, signer)
            sent = [caller.label() for _ in range(50)]
            assert (await caller.send(*sent)).accepted == 50
            server.kill()
            with pytest.raises(Unavailable, match="send it again"):
                await caller.send(*sent)
            server.start()
            fresh = caller.label()
            result = await caller.send(*sent, fresh)
            assert (result.accepted, result.duplicates) == (1, 50)
            assert (await losses(client))["knn:1"] == 51.0
            assert len(await events(client)) == 51
