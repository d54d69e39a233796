"""In a real stack: what a version takes is found at its check, and compared."""

from __future__ import annotations

import pytest

from registry import services
from registry.models import ModelVersion
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import BY, Stack, constant


def width(version: ModelVersion) -> int | None:
    version.refresh_from_db()
    return version.n_features


@pytest.mark.timeout(600)
def test_a_model_of_32_features_does_not_replace_one_of_64(stack: Stack) -> None:
    pixels = stack.add_artifact("pixels", runtime="onnx", content=constant(0, width=64))
    stack.deploy_and_wait(pixels)
    halved = stack.add_artifact("pixels", runtime="onnx", content=constant(0, width=32))

    release = stack.wait_for_release(stack.deploy(halved), state="failed")

    assert release.error == (
        "expected 64 numbers, as pixels:1 takes, which is live; pixels:2 takes 32. "
        "Deploy it with allow_signature_change where that is meant."
    )
    assert (width(pixels), width(halved)) == (64, 32)
    assert not stack.replicas(halved)
    (record,) = stack.wait_for_replicas(pixels)
    with Peer(record.address) as peer:
        (answer,) = peer.ask(b"[" + b",".join([b"0"] * 64) + b"]")
    assert answer.payload == b"0"

    meant = services.deploy(version=halved, by=BY, allow_signature_change=True)

    stack.wait_for_release(meant, state="live")
    stack.retire("pixels")
