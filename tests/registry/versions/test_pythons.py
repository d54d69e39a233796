"""The Python of a version fits what its project says it runs on, or its upload is refused."""

import platform
import sys
from collections.abc import Collection
from typing import NoReturn

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from core.errors import BadRequest
from registry.models import Model
from registry.versions.package_requirements import PYTHONS, python_for
from tests.registry.conftest import Api, make_key

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [each for each in PYTHONS if each != OWN]
OTHER = f"!={OWN}.*"


def nobody_asks() -> NoReturn:
    raise AssertionError("looked which Pythons there are")


def there() -> Collection[str]:
    """Those that containers run on, the stack's and older ones included, and some they don't."""
    return ["3.99.1", *(f"{each}.5" for each in PYTHONS), f"{OTHERS[-1]}.4", "3.9.18"]


def test_where_nothing_is_required_it_is_as_it_was_asked_for() -> None:
    assert python_for("", asked="", there=nobody_asks) == ""
    assert python_for("", asked="3.13", there=nobody_asks) == "3.13"


@pytest.mark.parametrize("required", [">=3.8", f"=={OWN}.*", f"=={platform.python_version()}"])
def test_the_stack_s_own_is_taken_where_it_fits(required: str) -> None:
    assert python_for(required, asked="", there=nobody_asks) == OWN


def test_another_is_the_newest_that_fits_and_that_containers_run_on() -> None:
    assert python_for(OTHER, asked="", there=there) == OTHERS[-1]
    assert python_for(f"=={OTHERS[0]}.*", asked="", there=there) == OTHERS[0]


def test_the_one_asked_for_stays_where_it_fits() -> None:
    assert python_for(">=3.8", asked=OTHERS[0], there=nobody_asks) == OTHERS[0]
    # Which of its releases is meant is not said: one of them fits.
    assert python_for(f">={OTHERS[0]}.7", asked=OTHERS[0], there=nobody_asks) == OTHERS[0]


@pytest.mark.parametrize(("required", "asked"), [(">=3.12", "3.11"), (">3.12.4", "3.12.4")])
def test_one_asked_for_that_does_not_fit_is_refused(required: str, asked: str) -> None:
    with pytest.raises(BadRequest, match=f"requires {required}, got {asked}"):
        python_for(required, asked=asked, there=nobody_asks)


@pytest.mark.parametrize("required", ["3.12", "^3.11", ">=3.12; rm"])
def test_what_specifies_no_versions_is_refused(required: str) -> None:
    with pytest.raises(BadRequest, match="requires_python"):
        python_for(required, asked="", there=nobody_asks)


def test_an_upload_says_at_once_which_python_it_has(svm: Model) -> None:
    api = Api(key=make_key(can_run_code=True))

    def uploaded(**form: str) -> dict[str, object]:
        artifact = SimpleUploadedFile("predictor.py", b"class Predictor: ...")
        answer = api.upload("svm", artifact=artifact, runtime="python", **form)
        body: dict[str, object] = answer.json()
        return body | {"status": answer.status_code}

    assert uploaded(version="1", requires_python=">=3.8")["python"] == OWN
    assert uploaded(version="2")["python"] == ""

    refused = uploaded(version="3", python=OTHERS[0], requires_python=f"=={OWN}.*")
    assert (refused["status"], refused["code"]) == (400, "malformed")
    assert refused["error"] == (
        f"python: Expected a Python that the project runs on, which requires =={OWN}.*, "
        f"got {OTHERS[0]}."
    )
    refused = uploaded(version="3", requires_python="python3")
    assert refused["details"] == {"fields": ["requires_python"]}
    assert svm.versions.count() == 2
