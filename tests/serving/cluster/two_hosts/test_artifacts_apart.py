"""Two hosts without a shared disk: one fetches the artifacts that its replicas load."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from registry import services
from registry.artifacts.copies import Copies
from registry.models import ModelVersion
from registry.releases.slots import known_slots, most_replicas
from registry.services import RouteRequest
from tests.serving.cluster.running_stack import BY, Stack
from tests.serving.cluster.two_hosts import apart
from tests.serving.cluster.two_hosts.apart import AWAY, HERE, ask, consoles, kill, on
from tests.serving.cluster.two_hosts.large import MB, Passage
from tests.serving.cluster.two_hosts.network_namespaces import Link
from tests.serving.cluster.wait_until import wait_for

# `registry/artifacts/test_fetching` has a fetch and what can break it, `test_hosts_apart` a stack
# on two hosts.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SETTINGS = apart.SETTINGS
WORKERS = ("control",)
MODEL = """
class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs): return [7] * len(inputs)
"""
SIZE = 8 << 20
HALF = SIZE // 2
LARGE = int(os.environ.get("LARGE_ARTIFACT_BYTES", 256 * MB))
# What none of it may take: a fraction of the artifact.
MOST_MB = 64


@pytest.fixture(scope="module")
def copies(stack: Stack) -> Copies:
    """Those of the other host."""
    return Copies(folder=apart.folder_away(stack) / "artifact-copies", max_bytes=1 << 30)


@pytest.fixture(scope="module", autouse=True)
def _processes(stack: Stack, link: Link) -> None:
    apart.start_away(stack, link)
    apart.start_web(stack)


def predicted(link: Link) -> Any:
    answer = ask(link, "/api/v1/applications/apart/predict", '{"input": [1, 2]}')
    return json.loads(answer)["output"]


@pytest.fixture(scope="module")
def version(stack: Stack) -> ModelVersion:
    content = MODEL.encode().ljust(SIZE, b"#")
    return stack.add_artifact("apart", runtime="python", content=content)


def test_memory_stays_flat_from_the_client_to_the_replica_on_another_host(
    stack: Stack, link: Link, tmp_path: Path
) -> None:
    passage = Passage.to(stack, link, folder=tmp_path)
    small = passage.deployed("small", passage.file(33 * MB))
    path = passage.file(LARGE)
    large = passage.deployed("large", path)
    form = passage.sent_by_curl("large", path, version="curl")
    print(f"{LARGE / MB:.0f} MB: {large.above(small)} MB more, live after {large.seconds:.0f} s")
    print(f"by a form: {form.above(small)} MB more, there after {form.seconds:.0f} s")
    assert max(large.above(small).values()) < MOST_MB
    assert max(form.above(small).values()) < MOST_MB
    stack.retire("small", "large")


def test_an_interrupted_fetch_is_gone_on_with_once_there_is_a_way(
    stack: Stack, link: Link, version: ModelVersion, copies: Copies
) -> None:
    artifact = (stack.var / "artifacts" / version.digest[:2] / version.digest).read_bytes()
    before = sent(stack)
    part = copies.part_of(version.digest)
    part.parent.mkdir(parents=True)
    part.write_bytes(artifact[:HALF])
    link.cut()

    release = stack.deploy(version)
    stack.wait_for_progress(release, "0 of 1 replicas ready, fetching its artifact")
    link.mend()

    stack.wait_for_release(release, state="live")
    assert copies.path_of(version.digest).read_bytes() == artifact
    assert not part.exists()
    wait_for(lambda: sent(stack) == (before[0] + 1, before[1] + HALF), what="one fetch of the rest")


def sent(stack: Stack) -> tuple[int, int]:
    """Return how many artifacts the console has sent, and their bytes."""
    (console,) = consoles(stack)
    return console["artifacts"]["sent"], console["artifacts"]["sent_bytes"]


def room(version: ModelVersion) -> tuple[int, int]:
    """Return all slots, and how many of them the version may have."""
    known = known_slots("cpu")
    return (known.total, most_replicas(version, slots=known)) if known else (0, 0)


def test_it_scales_to_both_hosts_with_one_fetch_and_outlives_one_of_them(
    stack: Stack, link: Link, version: ModelVersion
) -> None:
    services.create_application(
        name="apart",
        input_type="doubles",
        slo_ms=5000.0,
        public=True,
        routes=[RouteRequest(model="apart")],
        by=BY,
    )
    before, fetched = room(version)[0], sent(stack)
    stack.start_worker("cpu")

    def all_but_one() -> int:
        total, most = room(version)
        return most if total > before and most == total - 1 else 0

    # What the tests before have deployed may hold one for a moment yet.
    replicas = wait_for(all_but_one, within_s=60, what=lambda: f"slots, and room: {room(version)}")
    services.configure_version(version=version, replicas=replicas, by=BY)
    wait_for(
        lambda: len(on(HERE, stack, version)) >= 2 and len(on(AWAY, stack, version)) >= 2,
        within_s=90,
        what="replicas on both hosts",
    )
    assert not (stack.var / "artifact-copies").exists()
    assert sent(stack) == fetched
    assert predicted(link) == 7

    kill(stack, f"cpu@{AWAY}")
    wait_for(lambda: not on(AWAY, stack, version), within_s=30, what="they are gone")
    assert len(on(HERE, stack, version)) >= 2
    assert predicted(link) == 7
