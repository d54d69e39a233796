"""PyTorch programs answer as they do at home; what is only a pickle is no model."""

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, zipped

ROWS = np.random.default_rng(0).random((20, 4)).astype(np.float32)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.layer(x))


class Both(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> Any:
        return {"sum": left + right, "first": left[:, 0]}


class Root(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sqrt()


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    return train(Net())


def train(net: Any) -> Any:
    """Train on the place of the largest of the first three numbers."""
    rows = torch.rand(200, 4)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(30):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(rows), rows[:, :3].argmax(1)).backward()
        optimiser.step()
    return net.eval()


def exported(net: Any, *example: Any, any_batch: bool = True) -> bytes:
    sizes = [{0: torch.export.Dim("n")} for _ in example] if any_batch else None
    program = torch.export.export(net, example, dynamic_shapes=sizes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def scripted(net: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(net), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def program(net: Any) -> bytes:
    return exported(net, torch.zeros(2, 4))


@pytest.fixture(scope="module")
def script(net: Any) -> bytes:
    return scripted(net)


@pytest.fixture(params=["program", "script"])
def artifact(request: pytest.FixtureRequest) -> bytes:
    return request.getfixturevalue(request.param)


def test_a_model_answers_with_outputs_probabilities_and_labels(
    artifact: bytes, net: Any, artifact_file: Path
) -> None:
    scores = net(torch.from_numpy(ROWS)).detach()
    expected = {"": scores, "softmax": scores.softmax(dim=1), "argmax": scores.argmax(dim=1)}
    for method, outputs in expected.items():
        predictor = load_as("torch", artifact, at=artifact_file, method=method)
        predictor.warm_up()
        assert np.allclose(answered(predictor, ROWS), outputs, atol=1e-6)
    labels = answered(load_as("torch", artifact, at=artifact_file, method="argmax"), ROWS)
    assert np.mean(labels == ROWS[:, :3].argmax(axis=1)) > 0.8


def test_a_program_says_how_many_numbers_it_takes(program: bytes, artifact_file: Path) -> None:
    predictor = load_as("torch", program, at=artifact_file)
    assert predictor.n_features == 4
    bad, good = predictor.answer_batch([b"[1,2,3]", b"[1,2,3,4]"])
    assert bad == (AnswerStatus.INVALID_INPUT, b"expected 4 numbers, got 3")
    assert good.status is AnswerStatus.OK


def test_a_row_of_texts_is_its_caller_s_fault(program: bytes, artifact_file: Path) -> None:
    predictor = load_as("torch", program, at=artifact_file, input_type="json")
    raws = [b'["a","b","c","d"]', b'["1","2","3","4"]', b"[1,2,3,4]"]
    *bad, good = predictor.answer_batch(raws)
    assert [answer.status for answer in bad] == [AnswerStatus.INVALID_INPUT] * 2
    assert good.status is AnswerStatus.OK
    assert predictor.failures.take() == []


def test_a_program_exported_for_one_row_is_asked_row_by_row(net: Any, artifact_file: Path) -> None:
    content = exported(net, torch.zeros(1, 4), any_batch=False)
    predictor = load_as("torch", content, at=artifact_file)
    predictor.warm_up()
    expected = net(torch.from_numpy(ROWS)).tolist()
    assert np.allclose(answered(predictor, ROWS), expected, atol=1e-6)


def test_several_inputs_are_told_apart_by_name_or_place(artifact_file: Path) -> None:
    content = exported(Both(), torch.zeros(2, 2), torch.zeros(2, 2))
    by_name, by_place = {"right": [3, 4], "left": [1, 2]}, [[1, 2], [3, 4]]
    for input_type in ("json", "tensor"):
        predictor = load_as("torch", content, at=artifact_file, input_type=input_type)
        predictor.warm_up()
        assert answered(predictor, [by_name] * 3) == [{"sum": [4.0, 6.0], "first": 1.0}] * 3
    predictor = load_as("torch", content, at=artifact_file, input_type="json")
    assert answered(predictor, [by_place]) == [{"sum": [4.0, 6.0], "first": 1.0}]


def test_a_value_that_is_no_number_fails_alone(artifact_file: Path) -> None:
    content = scripted(Root())
    for method, answer in {"": b"[1.0,2.0]", "softmax": None, "argmax": b"1"}.items():
        predictor = load_as("torch", content, at=artifact_file, method=method)
        bad, good = predictor.answer_batch([b"[-1,1]", b"[1,4]"])
        assert bad.payload == b"expected a finite output, the model returned NaN or infinity"
        assert good.status is AnswerStatus.OK
        assert good.payload == answer or answer is None


def test_a_graphics_card_that_is_not_there_is_missed(program: bytes, artifact_file: Path) -> None:
    with pytest.raises(LoadFailed, match="PyTorch has no access to cuda:0"):
        load_as("torch", program, at=artifact_file, device="cuda:0")


def test_threads_are_the_versions(program: bytes, artifact_file: Path) -> None:
    load_as("torch", program, at=artifact_file, threads=2)
    assert torch.get_num_threads() == 2
    load_as("torch", program, at=artifact_file, threads=1)
    assert torch.get_num_threads() == 1


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was loaded",))


def pickled(model: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("model", [Bomb(), {"weight": torch.zeros(2)}])
def test_a_pickle_is_refused_without_loading_it(model: Any, artifact_file: Path) -> None:
    for allow_pickle in (False, True):
        with pytest.raises(ArtifactInvalid, match=r"got one of torch\.save: it holds weights or a"):
            load_as("torch", pickled(model), at=artifact_file, allow_pickle=allow_pickle)


NO_MODELS = [
    *(b"", b"hello", pickle.dumps({}), b'{"learner": {}}', zipped({"model.onnx": b""})),
    *(zipped({"m/constants.pkl": b"", "m/code/a.py": b""}), zipped({"m/models/model.json": b"{}"})),
]


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_refused(content: bytes, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid):
        load_as("torch", content, at=artifact_file)
