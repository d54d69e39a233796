"""Commands that a supervisord of the release before holds, by which an upgrade starts programs."""

from importlib.util import find_spec

import pytest

from clipper_site import worker

# As 0.1.0 wrote them into supervisord.conf: modules, and a worker's arguments.
MODULES = (
    "clipper_site.console_asgi",
    "clipper_site.predict_asgi",
    "clipper_site.stack.processes",
    "clipper_site.stack.redis_server",
    "clipper_site.worker",
    "core.compiled",
    "serving.http.server",
    "serving.master",
)
WORKER = "-Q replicas.cpu -P prefork -c 8 -n cpu@%h --without-gossip --without-mingle"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_where_it_was(module: str) -> None:
    assert find_spec(module) is not None


def test_a_worker_takes_the_arguments_that_it_took() -> None:
    assert worker.parser().parse_args(WORKER.split()).queues == "replicas.cpu"
