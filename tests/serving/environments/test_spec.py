"""Versions with requirements have environments, and share equal ones."""

import sys

from core.specs import VersionSpec
from serving.environments.rules import without_credentials
from serving.environments.spec import EnvironmentSpec, environment_of
from serving.testing import version_spec

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


def needing(requirements: str = "", *, python: str = "", runtime: str = "sklearn") -> VersionSpec:
    return version_spec(model="svm", runtime=runtime, requirements=requirements, python=python)


def built_for(version: VersionSpec) -> EnvironmentSpec:
    spec = environment_of(version)
    assert spec is not None
    return spec


def test_what_the_stack_has_is_taken_from_there() -> None:
    for version in (
        needing(),
        needing("scikit-learn\nnumpy"),
        needing(python=THIS),
        needing("scikit-learn", python=sys.version.split()[0]),
    ):
        assert environment_of(version) is None


def test_what_the_stack_lacks_is_built_with_what_the_runtime_needs() -> None:
    spec = built_for(needing("scikit-learn==1.5.2"))
    assert spec.requirements == ("scikit-learn", "scikit-learn==1.5.2", "skops")
    assert spec.python == THIS
    assert built_for(needing("toaster", runtime="python")).requirements == ("toaster",)
    assert built_for(needing(python="3.99", runtime="python")).requirements == ()


def test_an_executable_brings_what_it_needs() -> None:
    assert environment_of(needing("toaster", runtime="command")) is None


def test_equal_needs_have_one_digest_and_others_another() -> None:
    spec = built_for(needing("toaster>=1, <2\nnumpy"))
    assert spec.digest == built_for(needing("# again\nNumPy\n\ntoaster<2,>=1")).digest
    others = [needing("toaster>=1"), needing("toaster>=1,<2\nnumpy", python="3.99")]
    assert len({spec.digest, *(built_for(other).digest for other in others)}) == 3


def test_users_and_passwords_leave_every_text() -> None:
    text = "at https://me:pass@example.com/simple and http://token@host:1/x, ftp://host/a@b"
    assert without_credentials(text) == (
        "at https://***@example.com/simple and http://***@host:1/x, ftp://host/a@b"
    )
