"""A wheel is a model: its package is imported by its own name, and says what it needs."""

import sys
import sysconfig
from pathlib import Path

import pytest

from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from tests.serving.container.artifacts import answered, load_python, zipped

PREDICTOR = """
from importlib.metadata import version
from churn.words import greet  # as where it is installed
class Predictor:
    def __init__(self, path):
        self.path = path
        self.version = version("churn")
    def pred_batch(self, inputs):
        return [f"{greet(name)} {self.version} {__name__}" for name in inputs]
"""
WORDS = "def greet(name): return 'hi ' + name"
HERE = f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-"
MACHINE = sysconfig.get_platform().replace("-", "_")


def wheel(
    files: dict[str, str],
    *,
    tags: tuple[str, ...] = ("py3-none-any",),
    needs: tuple[str, ...] = (),
    entry_points: str = "",
) -> bytes:
    about = "churn-1.5.dist-info"
    metadata = "Metadata-Version: 2.1\nName: churn\nVersion: 1.5\n"
    told = {
        f"{about}/METADATA": metadata + "".join(f"Requires-Dist: {name}\n" for name in needs),
        f"{about}/WHEEL": "Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags),
        f"{about}/RECORD": "",
    }
    if entry_points:
        told[f"{about}/entry_points.txt"] = entry_points
    return zipped(files | told)


FILES = {"churn/__init__.py": PREDICTOR, "churn/words.py": WORDS}


def test_a_wheel_is_imported_by_the_name_of_its_package(artifact_file: Path) -> None:
    predictor = load_python(wheel(FILES), at=artifact_file)
    assert answered(predictor, ["ann"]) == ["hi ann 1.5 churn"]
    predictor.close()
    assert not [name for name in sys.modules if name.partition(".")[0] == "churn"]


def test_an_entry_point_says_which_class_it_is(artifact_file: Path) -> None:
    model = PREDICTOR.replace("Predictor", "Churn")
    files = {**FILES, "other/__init__.py": "", "other/model.py": model}
    told = "[console_scripts]\nx = y:z\n[clipper.predictors]\nchurn = other.model:Churn\n"
    predictor = load_python(wheel(files, entry_points=told), at=artifact_file)
    assert answered(predictor, ["ann"]) == ["hi ann 1.5 other.model"]
    predictor.close()


@pytest.mark.parametrize(
    "tag",
    [
        *("py3-none-any", "py2.py3-none-any", "py39-none-any", "cp38-abi3-any"),
        *(f"{HERE}{MACHINE}", f"{HERE}manylinux_2_17_x86_64.{MACHINE}"),
    ],
)
def test_a_wheel_for_this_python_and_machine_is_taken(tag: str, artifact_file: Path) -> None:
    load_python(wheel(FILES, tags=("cp36-cp36m-win32", tag)), at=artifact_file).close()


@pytest.mark.parametrize(
    "tag",
    [
        *("py2-none-any", "py399-none-any", "cp38-cp38-any", "cp399-abi3-any"),
        *(f"{HERE}win_amd64", "odd"),
    ],
)
def test_a_wheel_for_another_is_refused(tag: str, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=f"a wheel for Python 3.*, got one for {tag}"):
        load_python(wheel(FILES, tags=(tag,)), at=artifact_file)


def test_a_package_that_is_not_here_is_named_with_all_that_the_wheel_needs(
    artifact_file: Path,
) -> None:
    files = {"churn/__init__.py": "import nowhere"}
    said = r"No module named 'nowhere'; the wheel needs nowhere>=1, numpy"
    with pytest.raises(LoadFailed, match=said):
        load_python(wheel(files, needs=("nowhere>=1", "numpy")), at=artifact_file)
    with pytest.raises(LoadFailed, match=r"division by zero$"):
        load_python(wheel({"churn/__init__.py": "1 / 0"}, needs=("numpy",)), at=artifact_file)
    assert not [name for name in sys.modules if name.partition(".")[0] == "churn"]


@pytest.mark.parametrize(
    ("files", "entry_points", "message"),
    [
        ({}, "", "expected a wheel of one module or package, or one entry point .*, got none"),
        ({"a.py": "", "b/__init__.py": ""}, "", "got a, b"),
        ({"churn.py": ""}, "", "expected a class Predictor in churn, got none"),
        ({"churn.py": "class Predictor: ..."}, "", "expected Predictor to have pred_batch"),
        (FILES, "[clipper.predictors]\na = churn\n", "or one entry point package.mod"),
        (FILES, "[clipper.predictors]\na = b:C\nd = e:F\n", "got b:C, e:F"),
        (FILES, "[clipper.predictors]\nnonsense", "expected a wheel's entry points"),
    ],
)
def test_what_is_no_model_is_refused(
    files: dict[str, str], entry_points: str, message: str, artifact_file: Path
) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        load_python(wheel(files, entry_points=entry_points), at=artifact_file)
