"""An environment is kept as long as a version needs it that serves, is warm or is on its way."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.following.reading import version_spec
from registry.models import Application, Model, ModelVersion, Release, Route
from serving.cluster.host_environments import find_needed
from serving.environments.spec import environment_of


@pytest.fixture
def version(db: None) -> ModelVersion:
    model = Model.objects.create(name="svm", input_type="doubles")
    return ModelVersion.objects.create(
        model=model, version="1", runtime="python", requirements="toaster", digest="a" * 64
    )


def goes_live(version: ModelVersion) -> None:
    Model.objects.update(live_version=version)


def is_pinned(version: ModelVersion) -> None:
    application = Application.objects.create(name="digits", input_type="doubles")
    Route.objects.create(application=application, model=version.model, pinned_version=version)


def is_warm(version: ModelVersion) -> None:
    ModelVersion.objects.update(warm_until=timezone.now() + timedelta(minutes=1))


def is_checked(version: ModelVersion) -> None:
    Release.objects.create(model=version.model, version=version, state=Release.State.PENDING)


def starts(version: ModelVersion) -> None:
    Release.objects.create(model=version.model, version=version, state=Release.State.STARTING)


@pytest.mark.parametrize("happens", [goes_live, is_pinned, is_warm, is_checked, starts])
def test_it_is_needed_from_when_that_happens(
    version: ModelVersion, happens: Callable[[ModelVersion], None]
) -> None:
    spec = environment_of(version_spec(version))
    assert spec is not None
    assert find_needed() == set()
    happens(version)
    assert find_needed() == {spec.digest}


def test_what_the_stack_has_is_no_environment(version: ModelVersion) -> None:
    ModelVersion.objects.update(requirements="numpy")
    goes_live(version)
    assert find_needed() == set()
