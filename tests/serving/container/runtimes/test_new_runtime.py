"""The recipe "A runtime": one row here and one in the client serve a framework."""

from pathlib import Path
from typing import Any

import pytest

from clipper_client import frameworks
from clipper_client.frameworks.framework import Framework, Saved, Saving, is_of
from registry.versions.extensions import check_runtime
from scripts.docs.from_code import runtimes
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.rows import Rows
from serving.container.runtimes import RUNTIMES, RuntimeRow
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import answered, load_as

PLUG_IN = "tests.serving.container.runtimes.test_new_runtime"


class Toaster:
    """A model: how brown each slice gets."""

    def __init__(self, factor: float) -> None:
        self.factor = factor


class LoadedToaster:
    n_features = 1

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def predict(self, inputs: Rows) -> Any:
        return [row[0] * self._factor for row in inputs]

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


def load(spec: LoadSpec) -> LoadedToaster:
    if not spec.starts_with(b"TOAST"):
        raise ArtifactInvalid("expected a toaster")
    return LoadedToaster(float(spec.content[5:]))


def save(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.toast"
    path.write_bytes(b"TOAST%r" % model.factor)
    return Saved(path=path, runtime="toast")


FRAMEWORK = Framework("toaster", lambda model: is_of(model, "tests"), save)


@pytest.fixture
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    row = RuntimeRow(load=f"{PLUG_IN}:load", data_only=True, needs="a toaster")
    monkeypatch.setitem(RUNTIMES, "toast", row)
    monkeypatch.setattr(frameworks, "FRAMEWORKS", (FRAMEWORK, *frameworks.FRAMEWORKS))


@pytest.mark.usefixtures("_one_more")
def test_a_model_that_the_client_saves_is_loaded_and_answers(tmp_path: Path) -> None:
    saved = frameworks.save(Toaster(2.0), folder=tmp_path, saving=Saving())
    check_runtime(saved.runtime)  # an upload names it
    predictor = load_as(saved.runtime, saved.path.read_bytes(), at=tmp_path / "artifact")
    assert answered(predictor, [[1.5], [2.0]]) == [3.0, 4.0]
    assert "| `toast` | The recipe" in runtimes()


@pytest.mark.usefixtures("_one_more")
def test_what_it_refuses_is_a_refusal_of_the_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid):
        load_as("toast", b"bread", at=tmp_path / "artifact")
