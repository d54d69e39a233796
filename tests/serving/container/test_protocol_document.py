"""The protocol's description is complete, and the container printed in it works."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.container.failures import container_errors
from serving.container.inputs.signature import INPUT_TYPES
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames.codec import MAX_BODY, AnswerStatus, Frame, FrameType, first_frame
from serving.rpc.tcp.handshake import NONCE_BYTES, ContainerHandshake, WebHandshake
from tests.serving.container.server.test_server import LIMIT, Web

DOCUMENT = (Path(__file__).parents[3] / "docs" / "reference" / "container-protocol.md").read_text()


def kinds() -> list[str]:
    found = [value.kind for value in vars(container_errors).values() if hasattr(value, "kind")]
    return [kind for kind in found if kind != "container_error"]


@pytest.mark.parametrize("member", [*FrameType, *AnswerStatus])
def test_every_number_on_the_wire_is_described(member: FrameType | AnswerStatus) -> None:
    assert re.search(rf"^\| {int(member)} \| {member.name} \|", DOCUMENT, re.MULTILINE)


def test_every_name_is_described() -> None:
    for name in [*INPUT_TYPES, *kinds()]:
        assert f"`{name}`" in DOCUMENT, name
    assert f"{MAX_BODY:,}" in DOCUMENT


def one_frame(data: bytes) -> Frame:
    found = first_frame(data, max_body=100)
    assert found is not None
    return found[0]


def test_the_proofs_that_are_printed_are_those_that_ends_accept() -> None:
    ends: dict[str, Any] = {"secret": b"correct horse battery staple", "replica": "r1"}
    container = ContainerHandshake(**ends, hello=b"{}", nonce=b"\1" * NONCE_BYTES)
    web = WebHandshake(**ends, nonce=b"\2" * NONCE_BYTES)
    challenge = one_frame(container.opening)
    proof = one_frame(web.receive(challenge))
    answer = one_frame(container.receive(proof))
    assert f"web        {proof.body[NONCE_BYTES:].hex()}\n" in DOCUMENT
    assert f"container  {answer.body.hex()}\n" in DOCUMENT


async def dial_when_up(address: str) -> Web:
    async with asyncio.timeout(LIMIT):
        while True:  # it says nothing when it listens
            try:
                return await Web.dial(address, hello=None)
            except ConnectionLost:
                await asyncio.sleep(0.02)


async def test_the_printed_container_answers(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (source,) = re.findall(r"```python\n(import json.*?)```", DOCUMENT, re.DOTALL)
    script = tmp_path / "container.py"
    script.write_text(source + "\n")
    socket = tmp_path_factory.mktemp("s") / "r.sock"
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), str(socket))
    try:
        web = await dial_when_up(f"unix:{socket}")
        good, bad = await web.ask(b"[1, 2.5]", b'["a"]')
        assert good == (AnswerStatus.OK, b"3.5")
        assert bad.status is AnswerStatus.INVALID_INPUT
        web.connection.send(b"GET / HTTP/1.1\r\n")
        await web.next(FrameType.ERROR)
        assert "expected a PREDICT frame" in str(await web.ended())
    finally:
        process.kill()
        await process.wait()
