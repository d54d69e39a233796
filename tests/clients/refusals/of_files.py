"""What is wrong with a form, a file, or what a version takes."""

from __future__ import annotations

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
    at_upload(
        "a runtime that there is not",
        artifact=python,
        runtime="pyhton",
        says="runtime: Expected one of sklearn, xgboost, lightgbm, catboost, onnx, torch, "
        "tensorflow, transformers, mlflow, python, command, remote, got 'pyhton'.",
    ),
    at_upload(
        "a name that is a path",
        artifact=python,
        version="../../etc/passwd",
        says="version: Expected lower-case letters, digits and inner hyphens, got "
        "'../../etc/passwd'.",
    ),
    at_upload(
        "a name in Unicode",
        artifact=python,
        version="v\u202e1",
        says="version: Expected lower-case letters, digits and inner hyphens, got 'v\\u202e1'.",
    ),
    at_upload(
        "the name of a version that is there",
        artifact=python,
        version="1",
        code="conflict",
        says="steady:1 exists already; versions are immutable, choose a new one.",
    ),
    at_upload(
        "an empty file",
        artifact=_bytes(b""),
        says="artifact: Expected a file with something in it, got an empty one.",
    ),
    at_upload(
        "a file that was changed on its way",
        artifact=python,
        fields={"sha256": "0" * 64},
        says=f"sha256: Expected an artifact with the digest {'0' * 64}, got one with …: it was "
        "changed on its way.",
    ),
    at_upload(
        "a field that there is not",
        artifact=python,
        fields={"memory": "2GB"},
        code="unknown_field",
        says="Unknown field 'memory'; expected version, runtime, …",
    ),
    at_upload(
        "a limit too small for Python itself",
        artifact=python,
        fields={"memory_limit_mb": 5},
        says="memory_limit_mb: Expected 128 to 1048576, got 5.",
    ),
    at_upload(
        "a method that the runtime lacks",
        artifact=python,
        method="transform",
        says="method: Expected none with the runtime python, got 'transform'.",
    ),
    at_upload(
        "an example of another input type",
        artifact=python,
        fields={"example": '"seven"'},
        says="example: The example is no input: expected an array of numbers, got a string.",
    ),
    at_upload(
        "an example that is no JSON",
        artifact=python,
        fields={"example": "[1, 2"},
        says="example: Expected an example in JSON: Input data was truncated.",
    ),
    at_upload(
        "an example that the signature contradicts",
        artifact=python,
        fields=AN_INPUT | {"signature": '{"inputs": [{"shape": [3]}]}'},
        says="example: The example is no input: expected 3 numbers, got 2.",
    ),
    at_upload(
        "requirements with an option",
        artifact=python,
        requirements="--index-url http://127.0.0.1/simple",
        says="requirements: Line 1: Expected a requirement and no option (the operator's settings "
        "say where from), got '--index-url http://127.0.0.1/simple'.",
    ),
    at_upload(
        "a Python that no container runs on",
        artifact=python,
        fields={"python": "2.7"},
        says="python: Expected a version of Python out of 3.11, 3.12, 3.13, such as 3.13 or "
        "3.13.1, got '2.7'.",
    ),
    at_upload(
        "a remote model on a host that isn't allowed",
        artifact=_url("http://192.0.2.7:8080/predict"),
        runtime="remote",
        fields={"protocol": "mlflow"},
        says="url: 192.0.2.7:8080 is no public address: it has to be in CLIPPER_REMOTE_HOSTS as an "
        "address or network.",
    ),
)

OF_FILES = (
    at_check(
        "pickle without the permission",
        artifact=artifacts.pickled,
        says="this artifact is a joblib or pickle file, and loading it runs whatever code it "
        "holds: save the model with skops.io.dump(model, 'model.skops'), or upload it with "
        'allow_pickle=true (client.deploy(..., fields={"allow_pickle": True}), clipper deploy '
        "--field allow_pickle=true), which takes the permission to run code",
    ),
    at_check(
        "a model of another release of scikit-learn",
        artifact=artifacts.of_another_release,
        says="LinearRegression was trained with scikit-learn 1.5.0, and here is …: its answers "
        "may be wrong; train it with …, have the version bring its own (requirements: "
        "scikit-learn==1.5.0), or upload it with allow_stale_libraries where you have compared its "
        "answers",
    ),
    at_check(
        "a model that was not fitted",
        artifact=_skops(type(linear(3))()),
        says="expected a fitted model, got one that is not: This LinearRegression instance is not "
        "fitted yet. Call 'fit' with appropriate arguments before using this estimator.",
    ),
    at_check(
        "a method that the model lacks",
        artifact=_skops(linear(3)),
        method="predict_proba",
        says="expected a model with predict_proba(), got LinearRegression",
    ),
    at_check(
        "half a file",
        artifact=_half,
        says="expected a skops file, got a broken one: BadZipFile: File is not a zip file",
    ),
    at_check(
        "a file of another kind",
        artifact=_bytes(b"<html>504 Gateway Time-out</html>"),
        says="expected a skops, joblib or pickle file, got one starting b'<html>50'",
    ),
    at_check(
        "a zip that leads out of its folder",
        artifact=lambda folder: artifacts.zipped(folder, {"predictor.py": "", "../../e.py": ""}),
        runtime="python",
        says="expected paths inside the zip, got '../../e.py'",
    ),
    at_check(
        "a zip bomb",
        artifact=lambda folder: artifacts.claiming(folder, size=(1 << 32) - 2),
        runtime="python",
        says="expected at most 4294967296 bytes unpacked, got 8589934588",
    ),
    at_check(
        "a zip that says it is smaller than it is",
        artifact=lambda folder: artifacts.claiming(folder, size=3),
        runtime="python",
        says="expected a zip that can be unpacked: Bad CRC-32 for file 'predictor.py'",
    ),
    at_check(
        "a wheel for another platform",
        artifact=lambda folder: artifacts.wheel_of(folder, tag="cp39-cp39-win_amd64"),
        says="expected a wheel for Python … on …, got one for cp39-cp39-win_amd64",
    ),
    at_check(
        "a module without its class",
        artifact=_bytes(b"class Model: pass\n", name="model.py"),
        says="expected a class Predictor in predictor.py, got none",
    ),
    at_check(
        "a remote endpoint that is down",
        artifact=_url(NOWHERE),
        runtime="remote",
        fields={"protocol": "mlflow"},
        says="the remote model can't answer: cannot connect to 127.0.0.1:9: Connection refused",
    ),
)

OF_INPUTS = (
    at_check(
        "a model of another width than the live one",
        artifact=_skops(linear(2)),
        says="expected 3 numbers, as steady:1 takes, which is live; … takes 2. Deploy it with "
        "allow_signature_change where that is meant.",
    ),
    at_check(
        "an example of another width than the model",
        artifact=python,
        fields=AN_INPUT,
        says="the model failed to answer its example: expected 3 numbers, got 2",
    ),
    at_check(
        "a signature that the model contradicts",
        artifact=python,
        fields={"signature": '{"inputs": [{"shape": [5]}]}'},
        says="expected the shape that the model takes, [3], got [5]",
    ),
    at_check(
        "a model of other columns than the live one",
        artifact=_skops(of_columns("city", "lang")),
        model=COLUMNS,
        says="expected the column 'job', as steady-columns:1 takes, which is live; … doesn't know "
        "it. Deploy it with allow_signature_change where that is meant.",
    ),
    at_check(
        "an example with another column than the model",
        artifact=_skops(of_columns("city", "job")),
        fields={"example": '{"city": "Rome", "work": "cook"}'},
        model=COLUMNS,
        says='the model failed to answer its example: expected the columns city, job, got "work"',
    ),
)
