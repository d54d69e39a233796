"""Asking an application as people have their inputs, and telling it what was right."""

from datetime import UTC, datetime
from typing import Any, get_type_hints

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client import Client, ClipperError
from clipper_client.options import QueryOptions, ScoreOptions
from serving.endpoints.predictions.predict_request import PredictRequest
from serving.endpoints.predictions.score import ScoreRequest
from tests.clients.sources import Rows
from tests.integration.stack import Stack, eventually


def test_a_question_may_say_what_the_server_knows() -> None:
    def known(request: Any) -> set[str]:
        return set(request.__struct_fields__) - {"input", "input_batch"}

    assert get_type_hints(QueryOptions).keys() == known(PredictRequest)
    assert get_type_hints(ScoreOptions).keys() <= known(ScoreRequest)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ([1, 2.5, None], [1, 2.5, None]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        ({"age": np.int64(31), "city": "Zürich 🦊"}, {"age": 31, "city": "Zürich 🦊"}),
        ({"at": datetime(2026, 1, 2, tzinfo=UTC)}, {"at": "2026-01-02T00:00:00Z"}),
        (b"\x00\xff", "AP8="),
        ("text", "text"),
        (np.float32(0.5), 0.5),
        (None, None),
        ([float("inf")], [None]),
    ],
)
def test_inputs_reach_the_model_as_json(client: Client, echo: str, given: Any, got: Any) -> None:
    assert client.predict(echo, given).output == got


def test_an_answer_says_all_that_the_server_does(
    client: Client, churn: str, rows: Rows, linear: LogisticRegression
) -> None:
    answer = client.predict(churn, rows[0], explain=True)
    assert answer.output == linear.predict(rows[:1])[0]
    assert (answer.default, answer.asked, answer.answered) == (False, 1, 1)
    assert list(answer.models.values()) == [answer.output]
    assert answer.confidence == 1.0
    assert answer.explain is not None


def test_a_batch_is_answered_in_order_and_a_bad_input_fails_alone(
    client: Client, churn: str, rows: Rows, linear: LogisticRegression
) -> None:
    given: list[Any] = [*rows[:3], [1.0], *rows[3:5]]
    answers = client.predict_batch(churn, given)
    expected = linear.predict(rows[:5]).tolist()
    assert [answer.output for answer in answers if not answer.error] == expected
    assert [bool(answer.error) for answer in answers] == [False] * 3 + [True] + [False] * 2
    with pytest.raises(ClipperError, match="expected 30 numbers, got 1") as caught:
        _ = answers[3].output
    assert caught.value.code == "invalid_input"


def test_nothing_asked_is_nothing_answered(client: Client) -> None:
    assert client.predict_batch("whatever", []) == []
    assert client.score("whatever", np.empty((0, 30))) == []


def test_feedback_goes_to_the_application_that_was_asked(
    client: Client, churn: str, rows: Rows
) -> None:
    answer = client.predict(churn, rows[1])
    assert client.feedback(answer.query_id, label=1).accepted == 1
    assert client.feedback(answer, label=1).duplicates == 1
    # As it comes back from a database, it doesn't know the application any more.
    plain = str(client.predict(churn, rows[2]).query_id)
    with pytest.raises(ValueError, match="app="):
        client.feedback(plain, reward=1.0)
    assert client.feedback(plain, reward=1.0, app=churn).accepted == 1
    assert client.feedback(row=rows[3], label=0, app=churn).accepted == 1


def test_many_pieces_of_feedback_tell_which_were_rejected(
    client: Client, churn: str, rows: Rows
) -> None:
    answers = client.predict_batch(churn, rows[10:13])
    items = [{"query_id": answer.query_id, "label": 1} for answer in answers]
    result = client.feedback_batch(churn, [*items, {"query_id": "forged", "label": 1}])
    assert (result.accepted, [rejected.index for rejected in result.rejected]) == (3, [3])
    assert client.feedback_batch(churn, []).accepted == 0


def test_a_key_that_nobody_made_is_refused_at_once(stack: Stack) -> None:
    with Client(stack.url, "clp_wrong") as stranger, pytest.raises(ClipperError) as caught:
        stranger.predict("churn", [1.0])
    assert caught.value.code == "unauthenticated"


def test_the_environment_says_where_and_with_which_key(
    stack: Stack, key: str, churn: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_URL", f"{stack.url}/")
    monkeypatch.setenv("CLIPPER_KEY", key)
    with Client() as client:
        assert client.predict(churn, rows[0]).query_id
        assert key not in repr(client)


def test_a_session_answers_many_at_once_and_takes_feedback(
    client: Client, churn: str, rows: Rows, linear: LogisticRegression
) -> None:
    with client.session(churn) as session:
        outputs = [answer.output for answer in session.predict_many(rows[:200])]
        assert outputs == linear.predict(rows[:200]).tolist()
        answer = session.predict(rows[300])
        assert session.feedback(answer, label=1).accepted == 1
        with pytest.raises(ClipperError, match="expected 30 numbers"):
            session.predict([1.0])
        assert session.predict(rows[0]).output == outputs[0]  # it is still open


def test_a_session_takes_feedback_between_the_answers_of_many(
    client: Client, churn: str, rows: Rows, linear: LogisticRegression
) -> None:
    with client.session(churn) as session:
        for answer in session.predict_many(rows[:200]):
            assert session.feedback(answer, label=1).accepted == 1
        next(session.predict_many(rows[:200]))  # of which the rest is left there
        outputs = [session.predict(row).output for row in rows[200:300]]
        assert outputs == linear.predict(rows[200:300]).tolist()


def test_a_session_without_a_known_key_is_refused(stack: Stack, churn: str) -> None:
    with (
        Client(stack.url, "clp_wrong") as stranger,
        stranger.session(churn) as session,
        pytest.raises(ClipperError) as caught,
    ):
        session.predict([1.0])
    assert caught.value.code in ("unauthenticated", "unreachable")


def test_status_and_logs_say_what_runs(client: Client, churn: str) -> None:
    status = client.status()
    assert churn in [application["name"] for application in status.applications]

    def ready() -> list[str]:
        return [r.state for r in client.status().replicas if r.model == churn]

    eventually(lambda: "ready" in ready(), seconds=90, what="a replica is ready")
    assert client.logs(churn).lines
