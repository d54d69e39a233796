"""Versions for GPUs go to the GPU worker, a device each; no device is needed to see that."""

from collections.abc import Iterator

import psutil
import pytest

from registry import services
from registry.models import ModelVersion
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import SLOTS, Stack

pytestmark = pytest.mark.timeout(600)

DEVICES = {"CUDA_VISIBLE_DEVICES": "4,5"}
TELLS_ITS_DEVICE = b"""
class Predictor:
    n_features = 2
    def __init__(self, path, device):
        self.device = device
    def pred_batch(self, inputs):
        return [self.device] * len(inputs)
"""


@pytest.fixture(scope="module", autouse=True)
def _gpu_worker(stack: Stack) -> Iterator[None]:
    stack.start_worker("gpu", settings=DEVICES)
    stack.wait_for_slots("gpu")
    yield
    stack.retire("net")
    stack.stop_workers("gpu")


def test_each_replica_gets_a_device_of_its_own(stack: Stack) -> None:
    version = stack.add_artifact(
        "net", runtime="python", content=TELLS_ITS_DEVICE, device="gpu", replicas=2
    )

    stack.deploy_and_wait(version)
    records = stack.wait_for_replicas(version, count=2)

    answers = []
    for record in records:
        with Peer(record.address) as peer:
            answers.append(peer.ask(b"[0, 0]")[0].payload)
    assert sorted(answers) == [b'"cuda:0"', b'"cuda:1"']
    assert {record.device for record in records} == {"cuda:0", "cuda:1"}
    assert {psutil.Process(record.pid).ppid() for record in records} == {stack.workers["gpu"].pid}
    services.configure_version(version=version, replicas=1, by=services.SYSTEM)
    stack.wait_for_replicas(version)


@pytest.fixture
def crowd(stack: Stack) -> ModelVersion:
    """A version for CPUs that wants one slot more than there are."""
    version = ModelVersion.objects.filter(model__name="crowd").first()
    version = version or stack.add_version("crowd")
    if not version.is_live:
        stack.deploy_and_wait(version)
    stack.scale_beyond(version, replicas=SLOTS + 1)
    stack.wait_for_replicas(version, count=SLOTS)
    return version


def test_a_deploy_that_finds_no_slot_says_so_and_gets_one_of_whoever_has_most(
    stack: Stack, crowd: ModelVersion
) -> None:
    version = stack.add_version("late", answer=1)

    release = stack.deploy(version)

    use = f"{SLOTS} of {SLOTS} in use by {crowd} x {SLOTS}"
    stack.wait_for_progress(release, f"no free slot on queue replicas.cpu ({use})")
    stack.wait_for_release(release, state="live")
    stack.wait_for_replicas(crowd, count=SLOTS - 1)
    stack.retire("late")
    stack.wait_for_replicas(crowd, count=SLOTS)
