"""A remote version as a replica has it, without the rest of the stack."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.remote_predictor import RemotePredictor
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import AnswerStatus


@contextmanager
def predictor(
    url: str,
    protocol: str = "json",
    *,
    input_type: str = "doubles",
    hosts: str = "127.0.0.1",
    secret: str = "",
    must_answer: bool = False,
    signature: str = "",
    example: bytes = b"",
    **configuration: Any,
) -> Iterator[RemotePredictor]:
    if protocol == "json":
        configuration.setdefault("template", {"instances": "$inputs"})
        configuration.setdefault("output", "predictions")
    parsed = RemoteConfiguration.parse({"url": url, "protocol": protocol, **configuration})
    spec = LoadSpec(
        runtime="remote",
        artifact=Path(),
        sha256="",
        input_type=input_type,
        signature=signature,
        example=example.decode(),
        trial=must_answer,
        remote_hosts=hosts,
        batch_s=20.0,
        secret=secret,
    )
    made = RemotePredictor(parsed, spec=spec)
    try:
        yield made
    finally:
        made.close()


def outputs(asked: RemotePredictor, inputs: Sequence[Any]) -> list[Any]:
    """Each input's output; of one that has none, in brackets, why."""
    answers = asked.answer_batch([msgspec.json.encode(given) for given in inputs])
    assert len(answers) == len(inputs)
    return [
        msgspec.json.decode(payload) if status is AnswerStatus.OK else (payload.decode(),)
        for status, payload in answers
    ]


def reason(asked: RemotePredictor, given: Any = (1.0, 2.0)) -> str:
    """Why there is no output for one input."""
    (output,) = outputs(asked, [given])
    assert isinstance(output, tuple), output
    return str(output[0])
