"""Kinds of process: what each becomes, and from which settings."""

import pytest

from clipper_site.stack.environment import LISTENING, defaults
from clipper_site.stack.process import command_of


def command(kind: str, **settings: str) -> str:
    environment = {**defaults(), "CLIPPER_VAR": "/v", "CLIPPER_RUN_DIR": "/r", **settings}
    return " ".join(command_of(kind, environment))


def test_predict_listens_where_settings_say_or_takes_over_what_listens() -> None:
    assert "--listen http=0.0.0.0:8000 " in command("predict", CLIPPER_HOST="0.0.0.0")
    assert "--listen http=[::1]:9 " in command("predict", CLIPPER_HOST="::1", CLIPPER_PORT="9")
    assert "--listen http=fd:130 " in command("predict", **{LISTENING: "130"})
    assert "-m core.compiled serving.http.server" in command("predict")


@pytest.mark.parametrize("port", ["0", "8001"])
def test_the_console_has_a_port_where_it_is_given_one(port: str) -> None:
    found = command("console", CLIPPER_CONSOLE_PORT=port, CLIPPER_CONSOLE_WORKERS="3")
    assert "--listen http=unix:/r/console-http.sock " in found
    assert ("http-port=127.0.0.1:8001" in found) is (port != "0")
    assert "--workers 3 " in found


def test_a_worker_s_models_get_one_thread_each_and_its_queue_follows_the_kind() -> None:
    environment = {**defaults(), "CLIPPER_VAR": "/v", "CLIPPER_GPU_SLOTS": "2"}
    found = " ".join(command_of("worker", environment, gpu=True, name="gpu-2"))
    assert found == "clipper_site.worker -Q replicas.gpu -P prefork -c 2 -n gpu-2@%h"
    assert (environment["OMP_NUM_THREADS"], environment["TMPDIR"]) == ("1", "/v/tmp")
