"""Bytes come as they are, as a body or as files of a form; behind here they are base64."""

import json
from base64 import b64encode
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRequest, ClipperError
from serving.endpoints.predictions.binary_inputs import MOST_FILES, binary_request, is_binary
from serving.endpoints.predictions.predict_request import PredictRequest, checked
from tests.serving.http.front_server import Front, client_of, request, running

FORM = MULTIPART_CONTENT.encode()


def as_input(content: bytes) -> bytes:
    return json.dumps(b64encode(content).decode()).encode()


def form(*files: bytes, **fields: Any) -> bytes:
    named = [SimpleUploadedFile(f"a{n}.png", content) for n, content in enumerate(files)]
    return bytes(encode_multipart(BOUNDARY, fields | {"input": named}))


def asked(body: bytes, *, kind: bytes = FORM, query: bytes = b"") -> PredictRequest:
    return checked(binary_request(PredictRequest, body, content_type=kind, query=query))


def test_only_inputs_of_bytes_come_as_they_are() -> None:
    for kind in (b"application/octet-stream", b"image/png", b"Image/JPEG; q=1", FORM):
        assert is_binary(kind, input_type="bytes")
        assert not is_binary(kind, input_type="doubles")
    for kind in (b"application/json", b""):
        assert not is_binary(kind, input_type="bytes")


@given(st.binary(max_size=300))
def test_a_body_is_the_input(content: bytes) -> None:
    result = asked(
        content, kind=b"application/octet-stream", query=b"context=u1&key=k1&timeout_ms=20"
    )
    assert [bytes(input) for input in result.input_batch or ()] == [as_input(content)]
    assert (result.context, result.key, result.timeout_ms) == ("u1", "k1", 20.0)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_the_files_of_a_form_are_the_inputs(contents: list[bytes]) -> None:
    result = asked(form(*contents, context="u1", explain="true"))
    texts = [as_input(content) for content in contents]
    assert [bytes(input) for input in result.input_batch or ()] == texts
    assert (result.context, result.explain) == ("u1", True)


@pytest.mark.parametrize(
    ("body", "kind", "query", "message"),
    [
        (form(), FORM, b"", "a form with 1 to 256 files, got none"),
        (form(*[b"x"] * (MOST_FILES + 1)), FORM, b"", "a form with 1 to 256 files, got 257"),
        (form(b"x", colour="red"), FORM, b"", "Unknown field 'colour'; expected context"),
        (b"x", b"image/png", b"colour=red", "Unknown field 'colour'; expected context"),
        (b"x", b"image/png", b"timeout_ms=soon", "Expected `float"),
        (b"x", b"image/png", b"timeout_ms=-1", "timeout_ms: expected a number above 0"),
        (form(b"x"), b"multipart/form-data", b"", "a boundary in the Content-Type"),
        (b"nothing", FORM, b"", "a form that begins with its boundary"),
        (form(b"x")[:-10], FORM, b"", "boundary"),
        (b"--" + BOUNDARY.encode() + b"\r\n", FORM, b"", "whose parts end with its boundary"),
        (b"--" + BOUNDARY.encode(), FORM, b"", "ends with its boundary"),
    ],
)
def test_what_is_no_request_is_refused(
    body: bytes, kind: bytes, query: bytes, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        asked(body, kind=kind, query=query)
    assert message in caught.value.message


@given(
    st.lists(
        st.sampled_from(
            [b"--" + BOUNDARY.encode(), b"--", b"\r\n", b'name="a"', b"; filename=", b"x", b'"']
        ),
        max_size=14,
    ),
    st.binary(max_size=9),
)
def test_any_form_is_read_or_refused(pieces: list[bytes], tail: bytes) -> None:
    try:
        result = asked(b"".join(pieces) + tail)
    except ClipperError:
        return
    assert result.input_batch


async def test_bytes_take_the_ordinary_way_and_json_the_short_one() -> None:
    it = Front(input_type="bytes")
    it.learn(b'"eA=="')
    async with running(it), client_of(it) as client:
        await client.send(request(b'{"input":"eA=="}'))
        assert json.loads((await client.response())[2])["output"] == "eA=="
        assert it.asked == []
        # What looks like a request is an input here.
        raw = b'{"input":"eA=="}'
        await client.send(request(raw, extra=b"Content-Type: image/png\r\n"))
        assert (await client.response())[2] == b"ASGI"
    assert [body for _, _, body in it.asked] == [raw]
