"""Faults of a form, a file, or a version's inputs."""

from pathlib import Path

from tests.clients.refusals import artifacts
from tests.clients.refusals.artifacts import Artifact, linear, of_columns, python, skops_of, written
from tests.clients.refusals.cases import COLUMNS, at_check, at_upload

AN_INPUT = {"example": "[1, 2]"}
NOWHERE = "http://127.0.0.1:9/invocations"


def _skops(model: object) -> Artifact:
    return lambda folder: skops_of(folder, model)


def _bytes(content: bytes, *, name: str = "model.skops") -> Artifact:
    return lambda folder: written(folder, name=name, content=content)


def _half(folder: Path) -> Path:
    whole = skops_of(folder, linear(3)).read_bytes()
    return written(folder, name="model.skops", content=whole[: len(whole) // 2])


def _url(url: str) -> Artifact:
    return lambda folder: url


AT_UPLOAD = (
    at_upload("a runtime that there is not", python, runtime="pyhton"),
    at_upload("a name that is a path", python, version="../../etc/passwd"),
    at_upload("the name of a version that is there", python, version="1", code="conflict"),
    at_upload("an empty file", _bytes(b"")),
    at_upload("a file that was changed on its way", python, fields={"sha256": "0" * 64}),
    at_upload("a field that there is not", python, fields={"memory": "2GB"}, code="unknown_field"),
    at_upload("a limit too small for Python itself", python, fields={"memory_limit_mb": 5}),
    at_upload("a method that the runtime lacks", python, method="transform"),
    at_upload("an example of another input type", python, fields={"example": '"seven"'}),
    at_upload("an example that is no JSON", python, fields={"example": "[1, 2"}),
    at_upload(
        "an example that the signature contradicts",
        python,
        fields=AN_INPUT | {"signature": '{"inputs": [{"shape": [3]}]}'},
    ),
    at_upload(
        "requirements with an option", python, requirements="--index-url http://127.0.0.1/simple"
    ),
    at_upload("a Python that no container runs on", python, fields={"python": "2.7"}),
    at_upload(
        "a remote model on a host that isn't allowed",
        _url("http://192.0.2.7:8080/predict"),
        runtime="remote",
        fields={"protocol": "mlflow"},
    ),
)

OF_FILES = (
    at_check("pickle without the permission", artifacts.pickled),
    at_check("a model of another release of scikit-learn", artifacts.of_another_release),
    at_check("a model that was not fitted", _skops(type(linear(3))())),
    at_check("a method that the model lacks", _skops(linear(3)), method="predict_proba"),
    at_check("half a file", _half),
    at_check("a file of another kind", _bytes(b"<html>504 Gateway Time-out</html>")),
    at_check(
        "a zip that leads out of its folder",
        lambda folder: artifacts.zipped(folder, {"predictor.py": "", "../../e.py": ""}),
        runtime="python",
    ),
    at_check(
        "a zip bomb",
        lambda folder: artifacts.claiming(folder, size=(1 << 32) - 2),
        runtime="python",
    ),
    at_check(
        "a zip that says it is smaller than it is",
        lambda folder: artifacts.claiming(folder, size=3),
        runtime="python",
    ),
    at_check(
        "a wheel for another platform",
        lambda folder: artifacts.wheel_of(folder, tag="cp39-cp39-win_amd64"),
    ),
    at_check("a module without its class", _bytes(b"class Model: pass\n", name="model.py")),
    at_check(
        "a remote endpoint that is down",
        _url(NOWHERE),
        runtime="remote",
        fields={"protocol": "mlflow"},
    ),
)

OF_INPUTS = (
    at_check("a model of another width than the live one", _skops(linear(2))),
    at_check("an example of another width than the model", python, fields=AN_INPUT),
    at_check(
        "a signature that the model contradicts",
        python,
        fields={"signature": '{"inputs": [{"shape": [5]}]}'},
    ),
    at_check(
        "a model of other columns than the live one",
        _skops(of_columns("city", "lang")),
        model=COLUMNS,
    ),
    at_check(
        "an example with another column than the model",
        _skops(of_columns("city", "job")),
        fields={"example": '{"city": "Rome", "work": "cook"}'},
        model=COLUMNS,
    ),
)
