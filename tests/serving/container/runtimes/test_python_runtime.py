"""Any Python code with a Predictor class is a model; its archive cannot write elsewhere."""

import json
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from serving.container.adapters.archive import unpack
from serving.container.failures.container_errors import (
    ArtifactInvalid,
    LoadFailed,
    UnsafeArchive,
    WarmUpFailed,
)
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import WHERE, load_python, zip_file, zipped

EXAMPLE = Path(__file__).parents[4] / "examples" / "model.py"

DEVICE = """
class Predictor:
    def __init__(self, path, *, device="unset"):
        self.device = device
    def pred_batch(self, inputs):
        return [self.device for _ in inputs]
"""
SIBLING = """
import words
class Predictor:
    def __init__(self, path):
        self.suffix = (path / "suffix.txt").read_text()
    def pred_batch(self, inputs):
        from words import greet  # late imports work as well
        return [greet(name) + self.suffix for name in inputs]
"""
PACKAGE = """
from dataclasses import dataclass
from .words import greet
@dataclass
class Predictor:
    path: object
    def pred_batch(self, inputs):
        return [greet(name) for name in inputs]
"""


def test_the_example_answers(artifact_file: Path) -> None:
    predictor = load_python(EXAMPLE.read_bytes(), at=artifact_file, input_type="doubles")
    predictor.warm_up()
    answers = predictor.answer_batch([b"[0, 5, 1]", b"[7, 5, 1]"])
    assert answers == [(AnswerStatus.OK, b"1"), (AnswerStatus.OK, b"0")]
    predictor.close()


def test_the_path_is_the_unpacked_folder_and_goes_on_close(artifact_file: Path) -> None:
    predictor = load_python(WHERE, at=artifact_file)
    (answer,) = predictor.answer_batch([b"1"])
    folder = Path(json.loads(answer.payload))
    assert [path.name for path in folder.glob("*.*")] == ["predictor.py"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    predictor.close()
    assert not folder.exists()
    assert not [name for name in sys.modules if name.startswith("clipper_model_")]
    assert str(folder) not in sys.path


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        *(("path, device", "cuda:0"), ("device, path", "cuda:0"), ("device", "cuda:0")),
        *(("path", "-"), ("**kwargs", "cuda:0")),
    ],
)
def test_a_constructor_is_given_what_it_takes_by_name(
    artifact_file: Path, parameters: str, told: str
) -> None:
    source = DEVICE.replace('path, *, device="unset"', parameters)
    if "device" not in parameters:
        given = "kwargs['device']" if "kwargs" in parameters else '"-"'
        source = source.replace("self.device = device", f"self.device = {given}")
    predictor = load_python(source, at=artifact_file, device="cuda:0")
    assert predictor.answer_batch([b"1"]) == [(AnswerStatus.OK, json.dumps(told).encode())]
    predictor.close()


def test_a_zip_brings_modules_and_files_along(artifact_file: Path) -> None:
    files = {"predictor.py": SIBLING, "suffix.txt": "!"}
    files["words.egg-info/PKG-INFO"] = "Name: words"  # no wheel's
    for greeting in ("hello", "bonjour"):  # the second must not see the first one's module
        words = f"def greet(name): return '{greeting} ' + name"
        predictor = load_python(zipped({**files, "words.py": words}), at=artifact_file)
        (answer,) = predictor.answer_batch([b'"ann"'])
        assert json.loads(answer.payload) == f"{greeting} ann!"
        predictor.close()


def test_a_constructor_without_a_signature_is_given_the_path(artifact_file: Path) -> None:
    source = WHERE.replace("class Predictor:", "class Predictor:\n    __signature__ = 'none'")
    load_python(source, at=artifact_file).close()


@pytest.mark.parametrize("prefix", ["", "mymodel/", "outer/mymodel/"])
def test_a_zip_may_be_a_package(artifact_file: Path, prefix: str) -> None:
    files = {"__init__.py": PACKAGE, "words.py": "def greet(name): return 'hi ' + name"}
    content = zipped({prefix + name: text for name, text in files.items()})
    predictor = load_python(content, at=artifact_file)
    assert predictor.answer_batch([b'"ann"']) == [(AnswerStatus.OK, b'"hi ann"')]
    predictor.close()


def test_two_models_of_the_same_file_live_side_by_side(artifact_file: Path) -> None:
    one, two = (load_python(WHERE, at=artifact_file) for _ in range(2))
    assert one.answer_batch([b"1"]) != two.answer_batch([b"1"])
    one.close()
    assert two.answer_batch([b"1"])[0].status is AnswerStatus.OK
    two.close()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            "import nowhere",
            LoadFailed,
            "No module named 'nowhere'; what it imports and doesn't bring",
        ),
        ("def :", LoadFailed, "failed to import: SyntaxError"),
        ("raise SystemExit(3)", LoadFailed, "failed to import: SystemExit: 3"),
        ("x = 1", ArtifactInvalid, "expected a class Predictor in predictor.py, got none"),
        ("class Predictor: ...", ArtifactInvalid, "expected Predictor to have pred_batch"),
        (WHERE.replace("pred_batch", "predict"), ArtifactInvalid, "got predict: rename the method"),
        (DEVICE.replace("path", "cutoff"), LoadFailed, "missing 1 required .* 'cutoff'"),
        (
            WHERE.replace("self.path = path", "open('weights.bin')"),
            LoadFailed,
            r"No such file or directory: 'weights.bin'; .* path / 'weights.bin'",
        ),
        (WHERE.replace("self.path = path", "1 / 0"), LoadFailed, "ZeroDivisionError"),
        (zipped({"a.py": "", "b.py": ""}), ArtifactInvalid, "got a.py, b.py"),
        (zipped({"readme.txt": ""}), ArtifactInvalid, "got none"),
        (b"PK\x03\x04 truncated", ArtifactInvalid, "expected a zip that can be unpacked"),
    ],
)
def test_what_cannot_be_loaded_is_explained_and_leaves_nothing(
    content: bytes | str, error: type[Exception], message: str, artifact_file: Path
) -> None:
    before = list(sys.path)
    with pytest.raises(error, match=message):
        load_python(content, at=artifact_file)
    assert sys.path == before
    assert not [name for name in sys.modules if name.startswith("clipper_model_")]


def test_a_warm_up_that_raises_fails_the_warm_up(artifact_file: Path) -> None:
    source = WHERE + "\n    def warm_up(self):\n        raise OSError('no device')\n"
    predictor = load_python(source, at=artifact_file)
    with pytest.raises(WarmUpFailed, match="failed to warm up: OSError: no device"):
        predictor.warm_up()
    predictor.close()


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py", "a\\..\\evil.py"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(UnsafeArchive, match="expected paths inside the zip"):
        unpack(zip_file({"fine.py": "", name: "evil"}, at=tmp_path / "a.zip"), into=inside)
    assert list(tmp_path.rglob("*.py")) == []


def test_an_archive_cannot_hold_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="got a link"):
        unpack(archive, into=tmp_path)


def test_an_archive_cannot_unpack_to_more_than_the_limit(tmp_path: Path) -> None:
    archive = zip_file({"a": bytes(60), "b": bytes(40)}, at=tmp_path / "a.zip")
    with pytest.raises(UnsafeArchive, match="expected at most 99 bytes unpacked, got 100"):
        unpack(archive, into=tmp_path, max_unpacked=99)
