"""An application with three arms, and feedback as production would have kept it."""

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings

from registry import services
from registry.models import Application
from registry.services import Actor, RouteRequest
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.offpolicy.log import Log
from selection.models import Feedback
from tests.made_once import MadeOnce

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)
ARMS = ("svm:1", "forest:1", "bayes:1")

DIGITS = MadeOnce()

Keep = Callable[..., None]


@pytest.fixture(autouse=True)
def _what_it_needs(settings: Settings, tmp_path: Path, server_redis: redis.Redis) -> None:
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"


def make_application(**fields: Any) -> Application:
    """Make the application `digits`, which routes to the live versions of three models."""
    DIGITS.have(repr(fields), lambda: _make_application(fields))
    return Application.objects.get(name="digits")


def _make_application(fields: Mapping[str, Any]) -> None:
    for arm in ARMS:
        model, version = arm.split(":")
        made = services.create_version(
            model=services.create_model(name=model, input_type="doubles", by=services.SYSTEM),
            version=version,
            runtime="sklearn",
            artifact=io.BytesIO(arm.encode()),
            by=BY,
        )
        release = services.deploy(version=made, by=BY)
        services.begin_release(release=release)
        services.complete_release(release=release)
    routes = [RouteRequest(model=arm.split(":")[0]) for arm in ARMS]
    services.create_application(
        **{"name": "digits", "input_type": "doubles", "slo_ms": 50, "policy": "exp3", **fields},
        routes=routes,
        by=services.SYSTEM,
    )


@pytest.fixture
def digits(db: None) -> Application:
    return make_application()


def keep(application: Application, log: Log | Iterable[LoggedQuery], **fields: Any) -> None:
    """Keep queries as rows, a second apart and the last one at noon."""
    queries = list(log.queries if isinstance(log, Log) else log)
    already = Feedback.objects.count()
    Feedback.objects.bulk_create(
        Feedback(
            **{
                "application": application,
                "context": query.context,
                "key": query.key,
                "nonce": f"{already + number:024x}",
                "kind": "receipt" if query.given else "input",
                "issued_at": NOON - timedelta(seconds=len(queries) - number),
                "received_at": NOON - timedelta(seconds=len(queries) - number - 1),
                "label": "" if query.label is None else query.label.decode(),
                "reward": query.reward,
                "arms": [
                    {
                        "arm": one.arm,
                        "propensity": one.propensity,
                        "output": None if one.output is None else one.output.decode(),
                        "loss": one.loss,
                    }
                    for one in query.asked
                ],
                "routed": list(query.routed),
                "features": list(query.features),
                "position": already + number + 1,
                **fields,
            }
        )
        for number, query in enumerate(queries)
    )
