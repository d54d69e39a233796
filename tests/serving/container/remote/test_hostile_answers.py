"""Whatever a server answers is an answer that makes no sense, and no error of ours."""

from typing import Any

import pytest

from tests.serving.container.remote.asking import predictor, reason
from tests.serving.container.remote.stand_in import Asked, Said, as_json, standing_in

MODEL = "/v2/models/iris"
DEEP = b"[" * 50_000
EMPTY = {"name": "score", "datatype": "FP64", "data": []}


def test_words_of_an_error_that_are_nested_deep_are_shown_as_they_came() -> None:
    with (
        standing_in(lambda asked: Said(501, DEEP)) as server,
        predictor(server.url(MODEL), "open-inference") as asked,
    ):
        asked.warm_up()
        assert reason(asked).startswith(f"127.0.0.1:{server.port} answered 501: [[[[")


def test_a_description_that_is_nested_deep_counts_as_none() -> None:
    def answering(asked: Asked) -> Said:
        if asked.path.endswith("/infer"):
            return as_json({"outputs": [EMPTY | {"shape": [1], "data": [3]}]})
        return Said(200, b'{"more":' + DEEP)

    with (
        standing_in(answering) as server,
        predictor(server.url(MODEL), "open-inference", must_answer=True) as asked,
    ):
        asked.warm_up()
        assert asked.n_features is None


@pytest.mark.parametrize(
    ("output", "headers", "expected"),
    [
        ({"shape": [1, 1 << 30, 0]}, {}, "empty arrays in an output"),
        ({"shape": [1, 0, 1 << 62]}, {}, "empty arrays in an output"),
        (
            {"shape": [1]},
            {"Inference_Header_Content_Length": "\N{SUPERSCRIPT TWO}"},
            "expected a length in Inference-Header-Content-Length",
        ),
        (
            {"shape": [1]},
            {"Inference_Header_Content_Length": "0" * 5000},
            "expected JSON, the remote answered ''",
        ),
    ],
)
def test_a_tensor_that_makes_no_sense_says_so(
    output: dict[str, Any], headers: dict[str, Any], expected: str
) -> None:
    with (
        standing_in(lambda asked: as_json({"outputs": [EMPTY | output]}, **headers)) as server,
        predictor(server.url(MODEL), "open-inference") as asked,
    ):
        assert expected in reason(asked)


@pytest.mark.parametrize("places", [[None], [[0]], [0, None], ["0"], [0, 0], [True], [1]])
def test_embeddings_that_belong_to_no_input_say_so(places: list[Any]) -> None:
    answer = {"data": [{"index": place, "embedding": [1.0]} for place in places]}
    with (
        standing_in(lambda asked: as_json(answer)) as server,
        predictor(server.url("/v1/embeddings"), "openai", input_type="strings") as asked,
    ):
        said = reason(asked, "a")
    assert said.startswith("expected the embeddings 0 to 0, got ")
