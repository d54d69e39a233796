"""Each protocol asks as its servers expect and finds the outputs in what they answer."""

import json
from typing import Any

import numpy as np
import pytest

from serving.container.failures.container_errors import WarmUpFailed
from tests.serving.container.remote.asking import outputs, predictor, reason
from tests.serving.container.remote.servers import LENGTH, Inference, Mlflow, openai
from tests.serving.container.remote.stand_in import Asked, Said, as_json, standing_in

MODEL = "/v2/models/iris"


def sums(rows: Any) -> Any:
    return rows.sum(axis=1)


# --- Open Inference ------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/", f"{MODEL}/infer"])
def test_numbers_go_in_one_tensor_as_the_server_takes_them(binary: bool, path: str) -> None:
    server = Inference(sums, width=2, binary=binary)
    with (
        standing_in(server) as running,
        predictor(running.url(path), "open-inference", must_answer=True) as asked,
    ):
        asked.warm_up()
        assert asked.n_features == 2
        assert outputs(asked, [[1, 2], [3, 4.5], [1, 2, 3]]) == [
            3,
            7.5,
            ("expected 2 numbers, got 3",),
        ]
        inferred = running.asked[-1]
    assert (LENGTH in inferred.headers) == binary
    size = int(inferred.headers.get(LENGTH, len(inferred.body)))
    (tensor,) = json.loads(inferred.body[:size])["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [2, 2])
    assert len(inferred.body) - size == (16 if binary else 0)


def test_a_server_that_does_not_describe_its_model_is_asked_by_the_usual_names() -> None:
    server = Inference(sums, width=2, described=False, binary=False)
    with (
        standing_in(server) as running,
        predictor(running.url(MODEL), "open-inference", must_answer=True) as asked,
    ):
        asked.warm_up()
        assert asked.n_features is None
        assert outputs(asked, [[1, 2], [3, 4]]) == [3, 7]
        (tensor,) = running.asked[-1].json["inputs"]
        assert (tensor["name"], tensor["datatype"]) == ("input-0", "FP64")


def test_a_model_that_is_not_ready_fails_the_check_with_its_words() -> None:
    server = Inference(sums, width=2)
    server.ready = False
    with (
        standing_in(server) as running,
        predictor(running.url(MODEL), "open-inference", must_answer=True) as asked,
        pytest.raises(WarmUpFailed, match="answered 400: not ready"),
    ):
        asked.warm_up()


def test_what_each_input_gets_keeps_its_shape() -> None:
    server = Inference(lambda rows: np.c_[rows, rows[:, :1]], width=2, binary=False)
    with (
        standing_in(server) as running,
        predictor(running.url(MODEL), "open-inference") as asked,
    ):
        assert outputs(asked, [[1, 2], [3, 4]]) == [[1, 2, 1], [3, 4, 3]]


def described(*inputs: dict[str, Any], outputs: list[dict[str, Any]]) -> Any:
    """A server that takes these tensors, and answers with those."""

    def answering(asked: Asked) -> Said:
        if asked.path.endswith("/infer"):
            return as_json({"model_name": "m", "outputs": outputs})
        return as_json({"name": "m", "inputs": list(inputs), "outputs": []})

    return answering


TWO = [
    {"name": "a", "datatype": "FP32", "shape": [-1, 1]},
    {"name": "b", "datatype": "BYTES", "shape": [-1]},
]
LABEL = {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": ["x", "y"]}
SCORE = {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, None]}


def test_objects_go_by_name_and_the_output_that_counts_is_chosen() -> None:
    with (
        standing_in(described(*TWO, outputs=[LABEL, SCORE])) as running,
        predictor(running.url(MODEL), "open-inference", input_type="json") as asked,
        predictor(
            running.url(MODEL), "open-inference", input_type="json", output="score"
        ) as scores,
    ):
        given = [{"a": 1, "b": "u"}, {"a": 2, "b": "v"}]
        assert outputs(asked, given) == ["x", "y"]
        sent = {tensor["name"]: tensor for tensor in running.asked[-1].json["inputs"]}
        assert sent["a"] == {"name": "a", "datatype": "FP32", "shape": [2, 1], "data": [1, 2]}
        assert sent["b"] == {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["u", "v"]}
        assert outputs(scores, given) == [0.25, None]


def test_texts_go_as_bytes() -> None:
    texts = {"name": "t", "datatype": "BYTES", "shape": [-1, 1]}
    with (
        standing_in(described(texts, outputs=[LABEL])) as running,
        predictor(running.url(MODEL), "open-inference", input_type="strings") as asked,
    ):
        assert outputs(asked, ["größer", 'a "b"']) == ["x", "y"]
        (tensor,) = running.asked[-1].json["inputs"]
        assert (tensor["shape"], tensor["data"]) == ([2, 1], ["größer", 'a "b"'])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([], "expected an output '', got []"),
        ([{**SCORE, "shape": [3], "data": [1, 2, 3]}], "an output for each of 1 inputs, got [3]"),
        ([{**SCORE, "shape": [1], "data": [1, 2]}], "expected [1] values in an output, got 2"),
        ([{**SCORE, "shape": [1], "data": "1"}], "expected data in an output, got str"),
        ([{"name": "label", "shape": "1"}], "expected a shape of an output, got '1'"),
        ([{**SCORE, "shape": [1], "parameters": {"binary_data_size": 8}}], "at most 0 bytes"),
        ("none", "expected an array of outputs in the answer"),
    ],
)
def test_an_answer_that_is_not_one_output_per_input_says_so(output: Any, expected: str) -> None:
    with (
        standing_in(described(outputs=output)) as running,
        predictor(running.url(MODEL), "open-inference") as asked,
    ):
        assert expected in reason(asked)


# --- MLflow --------------------------------------------------------------------------------------


def test_mlflow_takes_rows_and_answers_predictions() -> None:
    with (
        standing_in(Mlflow(lambda asked: [sum(row) for row in asked["inputs"]])) as running,
        predictor(running.url(), "mlflow", must_answer=True) as asked,
    ):
        asked.warm_up()
        assert outputs(asked, [[1, 2], [3, 4]]) == [3, 7]
        assert [request.path for request in running.asked] == ["/ping", "/invocations"]


def test_mlflow_takes_rows_with_names_as_a_frame() -> None:
    bodies: list[Any] = []

    def model(asked: Any) -> Any:
        bodies.append(asked)
        return [{"label": number} for number, _ in enumerate(asked["dataframe_records"])]

    with (
        standing_in(Mlflow(model)) as running,
        predictor(
            running.url("/invocations"), "mlflow", input_type="json", output="*.label"
        ) as asked,
    ):
        assert outputs(asked, [{"age": 31, "city": "Rome"}, {"city": None, "age": 5}]) == [0, 1]
    assert bodies == [
        {"dataframe_records": [{"age": 31, "city": "Rome"}, {"city": None, "age": 5}]}
    ]


def test_mlflow_s_words_and_its_nan_reach_the_input_that_they_are_about() -> None:
    def model(asked: Any) -> Any:
        if ["bad"] in asked["inputs"]:
            raise ValueError("could not convert string to float: 'bad'")
        return [float("nan") if row == [0] else row[0] for row in asked["inputs"]]

    with (
        standing_in(Mlflow(model)) as running,
        predictor(running.url(), "mlflow", input_type="json") as asked,
    ):
        assert outputs(asked, [[1], ["bad"], [0], [2]]) == [
            1,
            (f"127.0.0.1:{running.port} answered 400: could not convert string to float: 'bad'",),
            ("expected a finite output, the model returned NaN or infinity",),
            2,
        ]


# --- OpenAI-style --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "template", "given", "expected"),
    [
        ("/v1/chat/completions", {}, "hi", "user: hi"),
        (
            "/openai/v1/chat/completions",
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "$input"},
                ]
            },
            'say "hi"\n',
            'system: be brief | user: say "hi"\n',
        ),
        ("/v1/completions", {"max_tokens": 5}, "abc", "cba"),
        ("/v1/embeddings", {}, "abc", [3, 1.0]),
    ],
)
def test_text_goes_to_an_openai_style_endpoint(
    path: str, template: dict[str, Any], given: str, expected: Any
) -> None:
    with (
        standing_in(openai) as running,
        predictor(
            running.url(path),
            "openai",
            input_type="strings",
            secret="sk-test",
            template={"model": "tiny", **template},
        ) as asked,
    ):
        found = outputs(asked, [given, "longer", "x"])
        assert found[0] == expected
        assert len(running.asked) == (1 if "embeddings" in path else 3)
        assert {k: v for k, v in running.asked[0].json.items() if k == "max_tokens"} == {
            k: v for k, v in template.items() if k == "max_tokens"
        }


def test_a_chat_takes_messages_as_json() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with (
        standing_in(openai) as running,
        predictor(
            running.url("/v1/chat/completions"),
            "openai",
            input_type="json",
            secret="sk-test",
            template={"model": "tiny"},
        ) as asked,
    ):
        assert outputs(asked, [messages]) == ["user: a | assistant: b"]


def test_the_words_of_an_openai_style_refusal_are_passed_on() -> None:
    with (
        standing_in(openai) as running,
        predictor(
            running.url("/v1/completions"), "openai", input_type="strings", secret="sk-other"
        ) as asked,
    ):
        assert reason(asked, "a") == f"127.0.0.1:{running.port} answered 401: Incorrect API key"


# --- a template ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "output", "answer", "expected"),
    [
        ({"instances": "$inputs", "n": 1}, "predictions", {"predictions": [3, 7]}, [3, 7]),
        ("$inputs", "", [3, 7], [3, 7]),
        ({"q": ["$inputs"]}, "r.0.*.y", {"r": [[{"y": 3}, {"y": 7}]]}, [3, 7]),
    ],
)
def test_a_template_has_a_place_for_all_inputs(
    template: Any, output: str, answer: Any, expected: list[Any]
) -> None:
    with (
        standing_in(lambda _: as_json(answer)) as running,
        predictor(running.url("/x?v=1"), template=template, output=output) as asked,
    ):
        assert outputs(asked, [[1, 2], [3, 4]]) == expected
        (request,) = running.asked
        sent = json.dumps(template).replace('"$inputs"', "[[1, 2], [3, 4]]")
        assert (request.path, request.json) == ("/x?v=1", json.loads(sent))


def test_a_template_has_a_place_for_one_input_and_says_what_its_answer_lacks() -> None:
    def answering(asked: Asked) -> Said:
        text = asked.json["text"]
        return as_json({"result": {"label": text.upper()}} if text != "b" else {"result": None})

    with (
        standing_in(answering) as running,
        predictor(
            running.url(),
            input_type="strings",
            template={"text": "$input", "note": 'not "$input" here'},
            output="result.label",
        ) as asked,
    ):
        assert outputs(asked, ["a", "b", "c"]) == [
            "A",
            ("expected 'result.label' in the answer, found no 'label' in NoneType",),
            "C",
        ]
        assert running.asked[0].json["note"] == 'not "$input" here'


# --- inputs with names and shapes, and an example ------------------------------------------------


def test_tensors_go_in_their_shape() -> None:
    images = {"name": "image", "datatype": "FP32", "shape": [-1, 2, 2]}
    with (
        standing_in(described(images, outputs=[LABEL])) as running,
        predictor(running.url(MODEL), "open-inference", input_type="tensor") as asked,
    ):
        assert outputs(asked, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]) == ["x", "y"]
        (tensor,) = running.asked[-1].json["inputs"]
        assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("image", "FP32", [2, 2, 2])
        assert tensor["data"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_rows_go_by_their_columns_and_a_bad_one_is_refused_by_the_signature() -> None:
    known = '{"inputs": [{"name": "age", "dtype": "float64"}, {"name": "city", "dtype": "string"}]}'
    rows: list[Any] = []

    def model(asked: Any) -> Any:
        rows.extend(asked["dataframe_records"])
        return [row["age"] for row in asked["dataframe_records"]]

    with (
        standing_in(Mlflow(model)) as running,
        predictor(running.url(), "mlflow", input_type="columns", signature=known) as asked,
    ):
        found = outputs(asked, [{"age": 31, "city": "Rome"}, {"age": "old", "city": "Rome"}])
        assert found[0] == 31
        assert "expected" in found[1][0]
        assert rows == [{"age": 31, "city": "Rome"}]


@pytest.mark.parametrize(
    ("example", "reason"),
    [(b"[1, 2]", ""), (b"[0, -1]", "failed to answer its example: .*answered 400: negative")],
)
def test_the_check_has_its_example_answered(example: bytes, reason: str) -> None:
    def picky(rows: Any) -> Any:
        if (rows < 0).any():
            raise ValueError("negative lengths")
        return sums(rows)

    with (
        standing_in(Inference(picky, width=2)) as running,
        predictor(running.url(MODEL), "open-inference", must_answer=True, example=example) as asked,
    ):
        if reason:
            with pytest.raises(WarmUpFailed, match=reason):
                asked.warm_up()
        else:
            asked.warm_up()
            assert running.asked[-1].path == f"{MODEL}/infer"


def test_a_model_of_another_width_than_was_said_fails_the_check() -> None:
    said = '{"inputs": [{"dtype": "float64", "shape": [3]}]}'
    with (
        standing_in(Inference(sums, width=2)) as running,
        predictor(running.url(MODEL), "open-inference", must_answer=True, signature=said) as asked,
        pytest.raises(WarmUpFailed, match=r"expected the shape that the model takes, \[2\]"),
    ):
        asked.warm_up()
