"""ONNX models answer by the names of their inputs and outputs, and read no file but their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import (
    answered,
    load_as,
    zipped,
)

ROWS = np.random.default_rng(0).random((60, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0.5).astype(int)
GOOD = [b'{"x0": 1, "x1": 1, "x2": 1, "x3": 1}']


@pytest.fixture(scope="module")
def classifier() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, LABELS)


def converted(model: Any, **options: Any) -> bytes:
    return to_onnx(model, ROWS[:1], options=options).SerializeToString()


def tensor(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[Any] = ("n", 4)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    *nodes: Any, inputs: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = ()
) -> bytes:
    made = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("evil", 1)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def elsewhere(location: str) -> Any:
    """A tensor whose numbers lie in another file."""
    weights = onnx.TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    return weights


def adding(weights: Any) -> bytes:
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return graph(node, inputs=[tensor("x")], outputs=[tensor("y")], weights=[weights])


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_of_scikit_learn_answers_with_labels_and_probabilities(
    zipmap: bool, classifier: LogisticRegression, artifact_file: Path
) -> None:
    content = converted(classifier, zipmap=zipmap)
    predictor = load_as("onnx", content, at=artifact_file)
    predictor.warm_up()
    assert predictor.n_features == 4
    assert answered(predictor, ROWS) == classifier.predict(ROWS).tolist()
    scores = load_as("onnx", content, at=artifact_file, method="predict_proba")
    assert np.allclose(answered(scores, ROWS), classifier.predict_proba(ROWS), atol=1e-5)


def test_all_outputs_are_answered_by_their_names(
    classifier: LogisticRegression, artifact_file: Path
) -> None:
    content = converted(classifier, zipmap=False)
    predictor = load_as("onnx", content, at=artifact_file, method="outputs")
    (answer,) = answered(predictor, ROWS[:1])
    assert answer.keys() == {"label", "probabilities"}
    assert len(answer["probabilities"]) == 2


def test_a_model_without_probabilities_has_none_to_tell(artifact_file: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4], [1, 2, 3, 4])
    with pytest.raises(ArtifactInvalid, match="of probabilities for predict_proba, got y"):
        load_as("onnx", adding(weights), at=artifact_file, method="predict_proba")


def test_several_inputs_and_outputs_are_told_apart_by_name(artifact_file: Path) -> None:
    one, other = (tensor(name, shape=("n", 1)) for name in ("age", "income"))
    nodes = [
        helper.make_node("Add", ["age", "income"], ["sum"]),
        helper.make_node("Sub", ["age", "income"], ["difference"]),
    ]
    outputs = [tensor("sum", shape=("n", 1)), tensor("difference", shape=("n", 1))]
    content = graph(*nodes, inputs=[one, other], outputs=outputs)
    expected = [{"sum": [5.0], "difference": [1.0]}]
    predictor = load_as("onnx", content, at=artifact_file)
    assert predictor.n_features == 2
    assert answered(predictor, [[3, 2]]) == expected
    for input_type in ("json", "columns"):
        by_name = load_as("onnx", content, at=artifact_file, input_type=input_type)
        assert answered(by_name, [{"income": 2, "age": 3}]) == expected
    for input_type in ("json", "tensor"):
        by_name = load_as("onnx", content, at=artifact_file, input_type=input_type)
        by_name.warm_up()
        assert answered(by_name, [{"income": [2], "age": [3]}]) == expected


def test_an_input_without_a_part_or_of_another_type_is_its_callers_fault(
    artifact_file: Path,
) -> None:
    inputs = [tensor("age", shape=("n", 1)), tensor("income", shape=("n", 1))]
    node = helper.make_node("Add", ["age", "income"], ["sum"])
    content = graph(node, inputs=inputs, outputs=[tensor("sum", shape=("n", 1))])
    predictor = load_as("onnx", content, at=artifact_file, input_type="json")
    missing, text, number, good = predictor.answer_batch(
        [b'{"age": 3}', b'{"age": "31", "income": 1}', b"3", b'{"age": 3, "income": 2}']
    )
    assert missing == (
        AnswerStatus.INVALID_INPUT,
        b"expected 'income' in each input, got an object without",
    )
    assert text.status is number.status is AnswerStatus.INVALID_INPUT
    assert good == (AnswerStatus.OK, b"[5.0]")


def test_null_is_no_value_for_a_model_that_makes_nan_of_it(
    classifier: LogisticRegression, artifact_file: Path
) -> None:
    """The label alone would hide it, and a column that was forgotten would be answered."""
    names = [f"x{place}" for place in range(4)]
    types = [(name, FloatTensorType([None, 1])) for name in names]
    columns = make_pipeline(ColumnTransformer([("all", StandardScaler(), names)]), classifier)
    columns.fit(pd.DataFrame(ROWS, columns=names), LABELS)
    content = convert_sklearn(columns, initial_types=types).SerializeToString()
    predictor = load_as("onnx", content, at=artifact_file, input_type="columns")
    without, null, good = predictor.answer_batch(
        [b'{"x0": 1, "x1": 1, "x2": 1}', b'{"x0":1,"x1":1,"x2":1,"x3":null}', *GOOD]
    )
    assert without == (
        AnswerStatus.INVALID_INPUT,
        b'expected the column "x3", got a row without it',
    )
    assert null.status is AnswerStatus.INVALID_INPUT
    assert good.status is AnswerStatus.OK


def test_null_is_nan_for_a_model_that_has_an_answer_to_it(artifact_file: Path) -> None:
    inputs = [tensor("age", shape=("n", 1)), tensor("visits", TensorProto.INT64, ("n", 1))]
    nodes = [
        helper.make_node("IsNaN", ["age"], ["unknown"]),
        helper.make_node("Cast", ["visits"], ["many"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["unknown", "many", "age"], ["y"]),
    ]
    content = graph(*nodes, inputs=inputs, outputs=[tensor("y", shape=("n", 1))])
    predictor = load_as("onnx", content, at=artifact_file, input_type="columns")
    null, no_integer = predictor.answer_batch([b'{"visits": 7}', b'{"age": 7}'])
    assert null == (AnswerStatus.OK, b"[7.0]")
    assert no_integer.payload == b'expected the column "visits", got a row without it'


def test_rows_that_name_other_columns_are_not_filled_up_with_null(artifact_file: Path) -> None:
    node = helper.make_node("Identity", ["X"], ["Y"])
    shape = ("n", None)
    content = graph(node, inputs=[tensor("X", shape=shape)], outputs=[tensor("Y", shape=shape)])
    predictor = load_as("onnx", content, at=artifact_file, input_type="columns")
    assert answered(predictor, [{"x": 1}, {"x": 1, "y": 2}]) == [[1.0], [1.0, 2.0]]


@pytest.mark.parametrize("sizes", [(3, 4), (3, 3)])
def test_a_sequence_answers_row_by_row_whatever_its_shapes(
    sizes: tuple[int, int], artifact_file: Path
) -> None:
    weights = [
        helper.make_tensor(f"w{at}", TensorProto.FLOAT, [2, size], [0.0] * 2 * size)
        for at, size in enumerate(sizes)
    ]
    node = helper.make_node("SequenceConstruct", ["w0", "w1"], ["y"])
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    content = graph(node, inputs=[tensor("x")], outputs=[output], weights=weights)
    predictor = load_as("onnx", content, at=artifact_file)
    shapes = [np.shape(row) for row in answered(predictor, ROWS[:2])]
    assert shapes == [(2, size) for size in sizes]


def test_texts_are_taken(artifact_file: Path) -> None:
    text = tensor("text", TensorProto.STRING, ["n"])
    node = helper.make_node("Identity", ["text"], ["same"])
    content = graph(node, inputs=[text], outputs=[tensor("same", TensorProto.STRING, ["n"])])
    predictor = load_as("onnx", content, at=artifact_file, input_type="strings")
    assert answered(predictor, ["ann", "bob"]) == ["ann", "bob"]


def test_texts_and_numbers_may_come_one_after_the_other(artifact_file: Path) -> None:
    inputs = [tensor("name", TensorProto.STRING, ("n", 1)), tensor("sizes", shape=("n", 2))]
    nodes = [helper.make_node("Identity", [each], [f"same_{each}"]) for each in ("name", "sizes")]
    outputs = [
        tensor("same_name", TensorProto.STRING, ("n", 1)),
        tensor("same_sizes", shape=("n", 2)),
    ]
    content = graph(*nodes, inputs=inputs, outputs=outputs)
    predictor = load_as("onnx", content, at=artifact_file, input_type="json")
    assert answered(predictor, [["ann", 1, 2]]) == [{"same_name": ["ann"], "same_sizes": [1, 2]}]
    (bad,) = predictor.answer_batch([b'["ann", "1", 2]'])
    assert bad.status is AnswerStatus.INVALID_INPUT


def test_an_image_may_come_as_its_pixels_one_after_the_other(artifact_file: Path) -> None:
    node = helper.make_node("ReduceMax", ["image"], ["most"], axes=[2], keepdims=0)
    image, most = tensor("image", shape=("n", 2, 3)), tensor("most", shape=("n", 2))
    content = graph(node, inputs=[image], outputs=[most])
    predictor = load_as("onnx", content, at=artifact_file)
    assert predictor.n_features == 6
    assert answered(predictor, [[1, 2, 3, 4, 5, 6]]) == [[3.0, 6.0]]
    for input_type in ("json", "tensor"):
        nested = load_as("onnx", content, at=artifact_file, input_type=input_type)
        assert answered(nested, [[[1, 2, 3], [4, 5, 6]]]) == [[3.0, 6.0]]
    (bad,) = nested.answer_batch([b"[[1, 2], [3, 4]]"])
    assert bad == (
        AnswerStatus.INVALID_INPUT,
        b"expected a tensor of the shape [2, 3], got one of [2, 2]",
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_model_of_a_fixed_batch_is_asked_in_such(batch: int, artifact_file: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    content = graph(
        node, inputs=[tensor("x", shape=(batch, 4))], outputs=[tensor("y", shape=(batch, 4))]
    )
    predictor = load_as("onnx", content, at=artifact_file)
    predictor.warm_up()
    assert answered(predictor, ROWS[:10]) == (-ROWS[:10]).tolist()


@pytest.mark.parametrize("batch", [99_999_999, 2**63 - 1])
def test_a_model_of_a_batch_that_nobody_can_fill_is_refused(
    batch: int, artifact_file: Path
) -> None:
    double = helper.make_node("Add", ["x", "x"], ["y"])
    content = graph(double, inputs=[tensor("x", shape=[batch, 2])], outputs=[tensor("y")])
    with pytest.raises(ArtifactInvalid, match=f"1 to 65536 rows at once, got one of {batch}"):
        load_as("onnx", content, at=artifact_file)


def test_a_graphics_card_needs_the_build_for_it(
    classifier: LogisticRegression, artifact_file: Path
) -> None:
    with pytest.raises(LoadFailed, match="no access to cuda:0"):
        load_as("onnx", converted(classifier), at=artifact_file, device="cuda:0")


def test_a_zip_may_hold_the_files_of_its_tensors(artifact_file: Path) -> None:
    files = {
        "net/model.onnx": adding(elsewhere("weights.bin")),
        "net/weights.bin": np.array([1, 2, 3, 4], np.float32).tobytes(),
    }
    predictor = load_as("onnx", zipped(files), at=artifact_file)
    assert answered(predictor, [[0, 0, 0, 0]]) == [[1.0, 2.0, 3.0, 4.0]]
    predictor.close()


def test_an_operator_of_somebody_elses_is_not_looked_for(artifact_file: Path) -> None:
    node = helper.make_node("Evil", ["x"], ["y"], domain="evil")
    content = graph(node, inputs=[tensor("x")], outputs=[tensor("y")])
    with pytest.raises(ArtifactInvalid, match=r"evil:Evil\(-1\) is not a registered function/op"):
        load_as("onnx", content, at=artifact_file)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("opset", "export it with"),
        ("ir", "export it with"),
        ("type", "Type Error"),
        ("w", "zip it"),
    ],
)
def test_what_onnx_runtime_says_is_passed_on_without_its_own_code_and_our_files(
    part: str, words: str, artifact_file: Path
) -> None:
    plain = helper.make_tensor("w", TensorProto.FLOAT, [4], [1, 2, 3, 4])
    model = onnx.ModelProto.FromString(adding(elsewhere("w.bin") if part == "w" else plain))
    if part == "opset":
        model.opset_import[0].version = 99
    elif part == "ir":
        model.ir_version = 99
    elif part == "type":
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ArtifactInvalid, match=words) as refused:
        load_as("onnx", model.SerializeToString(), at=artifact_file)
    for odd in ("[ONNXRuntimeError]", "::", str(artifact_file.parent), "Load model from"):
        assert odd not in str(refused.value)


def test_what_is_no_model_is_refused(classifier: LogisticRegression, artifact_file: Path) -> None:
    whole = converted(classifier)
    contents = [b"", b"hello", b"\0\0\0\0ORTM", b'{"learner": {}}', b"PK\x03\x04 truncated"]
    contents += [b"\x08\x09", zipped({"a.onnx": b"", "b.onnx": b""}), zipped({"model.txt": b""})]
    contents += [whole[: int(len(whole) * share)] for share in (0.2, 0.5, 0.9)]
    for content in contents:
        with pytest.raises(ArtifactInvalid):
            load_as("onnx", content, at=artifact_file)
