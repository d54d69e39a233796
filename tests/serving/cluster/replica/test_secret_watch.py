"""A replica of a remote version hears of another secret soon after the registry has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

import pytest
from pytest_django.fixtures import Settings

from registry import services
from registry.models import ModelVersion
from serving.cluster.replica.secret_watch import SecretWatch

pytestmark = pytest.mark.django_db(transaction=True)

BY = services.Actor.of_command("test")
WITHIN_S = 20.0


@pytest.fixture
def version(settings: Settings) -> ModelVersion:
    settings.CLIPPER_REMOTE_HOSTS = "127.0.0.1"
    model = services.create_model(name="far", input_type="doubles", by=BY)
    return services.create_remote_version(
        model=model,
        version="1",
        configuration={"url": "http://127.0.0.1:9/v2/models/far", "protocol": "open-inference"},
        secret="first",
        by=BY,
    )


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.cluster.replica.secret_watch.LOOK_EACH_S", 0.01)


@contextmanager
def watching(version: ModelVersion, *, sealed: str) -> Iterator[Queue[str]]:
    """Yield what is taken up of the version's secrets by one that has this."""
    taken: Queue[str] = Queue()
    with SecretWatch(version_id=version.pk, sealed=sealed, take_up=taken.put):
        yield taken


@pytest.mark.usefixtures("server_redis")
def test_it_takes_up_each_secret_once_and_what_was_set_before_it_looked(
    version: ModelVersion,
) -> None:
    had = version.secret
    services.set_secret(version=version, secret="second", by=BY)
    with watching(version, sealed=had) as taken:
        assert taken.get(timeout=WITHIN_S) == "second"
        services.create_model(name="other", input_type="doubles", by=BY)  # no business of its
        for secret in ("third", ""):
            services.set_secret(version=version, secret=secret, by=BY)
            assert taken.get(timeout=WITHIN_S) == secret
        assert taken.empty()
