"""Keras files and SavedModels answer as they do at home; byte code needs permission."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow

from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, PickleRefused
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, zipped, zipped_folder

keras = tensorflow.keras
ROWS = np.random.default_rng(0).random((20, 4)).astype(np.float32)


def layers(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.fixture(scope="module")
def net() -> Any:
    """Train on the place of the largest of the first three numbers."""
    keras.utils.set_random_seed(0)
    rows = np.random.default_rng(1).random((200, 4)).astype(np.float32)
    model = layers(keras.layers.Dense(3), keras.layers.Dropout(0.5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1), loss=loss)
    model.fit(rows, rows[:, :3].argmax(axis=1), epochs=10, verbose=0)
    return model


def kept(model: Any, *, at: Path) -> bytes:
    file = at.with_suffix(".keras")
    model.save(file)
    return file.read_bytes()


def exported(model: Any, *, at: Path, within: str = "") -> bytes:
    folder = at.with_suffix(".saved")
    if isinstance(model, keras.Model):
        model.export(folder, verbose=False)
    else:
        tensorflow.saved_model.save(model, str(folder))
    return zipped_folder(folder, within=within)


@pytest.fixture(scope="module")
def keras_file(net: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return kept(net, at=tmp_path_factory.mktemp("keras") / "model")


@pytest.fixture(scope="module")
def saved_model(net: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return exported(net, at=tmp_path_factory.mktemp("saved") / "model", within="model/")


@pytest.fixture(params=["keras_file", "saved_model"])
def artifact(request: pytest.FixtureRequest) -> bytes:
    content: bytes = request.getfixturevalue(request.param)
    return content


def test_a_model_answers_with_outputs_probabilities_and_labels(
    artifact: bytes, net: Any, artifact_file: Path
) -> None:
    scores = net(ROWS, training=False)
    expected = {
        "": scores.numpy(),
        "softmax": tensorflow.nn.softmax(scores).numpy(),
        "argmax": scores.numpy().argmax(axis=1),
    }
    for method, outputs in expected.items():
        predictor = load_as("tensorflow", artifact, at=artifact_file, method=method)
        predictor.warm_up()
        assert predictor.n_features == 4
        assert np.allclose(answered(predictor, ROWS), outputs, atol=1e-5)
    assert np.mean(answered(predictor, ROWS) == ROWS[:, :3].argmax(axis=1)) > 0.8


def test_an_image_may_come_nested_or_as_its_pixels(artifact_file: Path) -> None:
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.GlobalMaxPooling2D()])
    content = kept(model, at=artifact_file)
    flat = load_as("tensorflow", content, at=artifact_file, input_type="floats")
    assert answered(flat, [[1, 2, 3, 4]]) == [[4.0]]
    nested = load_as("tensorflow", content, at=artifact_file, input_type="tensor")
    nested.warm_up()
    assert answered(nested, [[[[1], [2]], [[3], [4]]]]) == [[4.0]]
    (bad,) = nested.answer_batch([b"[[1, 2], [3, 4]]"])
    assert bad == (
        AnswerStatus.INVALID_INPUT,
        b"expected a tensor of the shape [2, 2, 1], got one of [2, 2]",
    )


def test_several_inputs_and_outputs_are_told_apart_by_name(artifact_file: Path) -> None:
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    model = keras.Model(
        [left, right],
        {
            "joined": keras.layers.Concatenate()([left, right]),
            "same": keras.layers.Identity()(right),
        },
    )
    for content in (kept(model, at=artifact_file), exported(model, at=artifact_file)):
        predictor = load_as("tensorflow", content, at=artifact_file, input_type="tensor")
        (answer,) = answered(predictor, [{"right": [3], "left": [1, 2]}])
        assert answer == {"joined": [1.0, 2.0, 3.0], "same": [3.0]}
        numbers = load_as("tensorflow", content, at=artifact_file, input_type="doubles")
        assert answered(numbers, [[1, 2, 3]]) == [answer]


class Greeting(tensorflow.Module):
    @tensorflow.function(input_signature=[tensorflow.TensorSpec([None], tensorflow.string)])
    def __call__(self, name: Any) -> Any:
        return tensorflow.strings.join(["hi ", name])


def test_texts_are_taken_and_given(artifact_file: Path) -> None:
    content = exported(Greeting(), at=artifact_file)
    predictor = load_as("tensorflow", content, at=artifact_file, input_type="strings")
    assert answered(predictor, ["ann", "bob"]) == ["hi ann", "hi bob"]


def test_a_value_that_is_no_number_fails_alone(artifact_file: Path) -> None:
    root = keras.ops.sqrt(inputs := keras.Input((2,)))
    content = kept(keras.Model(inputs, root), at=artifact_file)
    for method in ("", "softmax", "argmax"):
        predictor = load_as("tensorflow", content, at=artifact_file, method=method)
        bad, good = predictor.answer_batch([b"[-1,1]", b"[1,4]"])
        assert bad.payload == b"expected a finite output, the model returned NaN or infinity"
        assert good.status is AnswerStatus.OK


NULLS = {
    "columns": b'{"age": 1, "income": null}',
    "json": b'{"age": [1], "income": [null]}',
    "floats": b"[1, null]",
}


@pytest.mark.parametrize("input_type", NULLS)
def test_null_is_refused_rather_than_answered_with_any_label(
    input_type: str, artifact_file: Path
) -> None:
    inputs = [keras.Input((1,), name="age"), keras.Input((1,), name="income")]
    model = keras.Model(inputs, keras.layers.Concatenate()(inputs))
    for content in (kept(model, at=artifact_file), exported(model, at=artifact_file)):
        predictor = load_as(
            "tensorflow", content, at=artifact_file, input_type=input_type, method="argmax"
        )
        null = NULLS[input_type]
        refused, good = predictor.answer_batch([null, null.replace(b"null", b"2")])
        assert refused.status is AnswerStatus.INVALID_INPUT
        assert good == (AnswerStatus.OK, b"1")


def test_null_is_nan_where_the_version_s_signature_says_that_it_is_a_value(
    artifact_file: Path,
) -> None:
    said = {"inputs": [{"nullable": True, "shape": [2]}]}
    inputs = keras.Input((2,))
    content = kept(keras.Model(inputs, keras.ops.nan_to_num(inputs)), at=artifact_file)
    predictor = load_as(
        "tensorflow", content, at=artifact_file, input_type="floats", signature=json.dumps(said)
    )
    assert answered(predictor, [[1, None]]) == [[1.0, 0.0]]


def test_byte_code_is_not_run_without_permission(artifact_file: Path) -> None:
    content = kept(layers(keras.layers.Lambda(lambda rows: rows * 2)), at=artifact_file)
    with pytest.raises(PickleRefused, match=r"this model holds Python's byte code \(a Lambda"):
        load_as("tensorflow", content, at=artifact_file)
    predictor = load_as("tensorflow", content, at=artifact_file, allow_pickle=True)
    assert answered(predictor, [[1, 2, 3, 4]]) == [[2.0, 4.0, 6.0, 8.0]]


def test_a_graphics_card_that_is_not_there_is_missed(
    keras_file: bytes, artifact_file: Path
) -> None:
    with pytest.raises(LoadFailed, match="TensorFlow has no access to cuda:0"):
        load_as("tensorflow", keras_file, at=artifact_file, device="cuda:0")


NO_MODELS = [
    *(b"", b"hello", b'{"learner": {}}'),
    zipped({"model.onnx": b""}),
    zipped({"config.json": "{}"}),
    zipped({"a/saved_model.pb": b"", "b/saved_model.pb": b""}),
    zipped({"saved_model.pb": b"hello"}),
]


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_refused(content: bytes, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid):
        load_as("tensorflow", content, at=artifact_file)
