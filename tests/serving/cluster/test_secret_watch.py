"""A replica of a remote version hears of another secret as soon as the registry has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.redis.redis_client import redis_client
from registry import services
from registry.models import ModelVersion
from serving.cluster.replica import secret
from serving.cluster.replica.secret import SecretWatch, SendsSecret
from serving.container.remote.predictor import RemotePredictor

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


@contextmanager
def watching(version: ModelVersion, *, sealed: str) -> Iterator[Queue[str]]:
    """What is taken up of the version's secrets by one who has this."""
    taken: Queue[str] = Queue()
    watch = SecretWatch(
        version_id=version.pk, sealed=sealed, take_up=taken.put, client=redis_client()
    )
    watch.start()
    try:
        yield taken
    finally:
        watch.stop()


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


@pytest.mark.usefixtures("server_redis")
def test_one_that_cannot_be_read_leaves_the_one_before(version: ModelVersion) -> None:
    had = version.secret
    ModelVersion.objects.filter(pk=version.pk).update(secret="no sealed text")
    with watching(version, sealed=had) as taken:
        services.set_secret(version=version, secret="readable", by=BY)
        assert taken.get(timeout=WITHIN_S) == "readable"


class Away(redis.Redis):
    """Nobody is there; `tries` has what was tried."""

    def __init__(self) -> None:
        super().__init__(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
        self.tries: Queue[None] = Queue()

    def pubsub(self, **options: Any) -> Any:
        self.tries.put(None)
        return super().pubsub(**options)  # type: ignore[no-untyped-call]


def test_it_says_once_that_redis_is_away(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(secret, "PAUSE_AFTER_FAILURE_S", 0.01)
    client = Away()
    watch = SecretWatch(
        version_id=version.pk, sealed=version.secret, take_up=Queue[str]().put, client=client
    )
    with caplog.at_level("INFO", logger=secret.__name__):
        watch.start()
        for _ in range(5):
            client.tries.get(timeout=WITHIN_S)
        watch.stop()
    (said,) = caplog.messages
    assert said.startswith(f"no word of another secret version={version.pk}: ")


def test_a_remote_model_sends_one() -> None:
    assert issubclass(RemotePredictor, SendsSecret)
