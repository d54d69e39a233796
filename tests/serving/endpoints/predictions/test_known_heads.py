"""Heads of prediction requests: what is remembered of them, and for how long."""

from dataclasses import replace

import pytest

from serving.endpoints.predictions.known_heads import Heads, KnownHead
from serving.testing import application_spec, key_spec
from tests.serving.http.front_server import Front, request


def found(heads: Heads, head: bytes) -> KnownHead:
    known = heads.find(head)
    assert known is not None
    return known


def test_a_head_outlives_changes_of_what_it_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Front()
    heads = heads_of(it)
    head = request(b"")
    first = found(heads, head)[0]
    it.serving.change_registry(
        applications={
            **it.serving.snapshot.applications,
            "other": application_spec(id=2, name="other"),
        }
    )
    monkeypatch.delattr("serving.endpoints.predictions.known_heads.read_head")
    assert found(heads, head)[0] is first


def test_a_head_follows_its_application_and_its_key() -> None:
    it = Front()
    heads = heads_of(it)
    head = request(b"")
    public = replace(it.serving.application, public=True)
    private = replace(it.serving.application, public=False)
    it.serving.change_registry(applications={"digits": public}, keys={})
    assert found(heads, head)[0].application is public
    it.serving.change_registry(applications={"digits": private})
    assert heads.find(head) is None
    key = key_spec()
    it.serving.change_registry(keys={key.digest: key})
    assert found(heads, head)[0].application is private
    it.serving.change_registry(keys={key.digest: replace(key, scopes=frozenset({"read"}))})
    assert heads.find(head) is None
    it.serving.change_registry(keys={key.digest: replace(key, expires_at=1.0)})
    assert heads.find(head) is None
    it.serving.change_registry(keys={})
    assert heads.find(head) is None


def test_heads_that_differ_in_the_length_of_the_body_are_parsed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Front()
    heads = Heads(lambda: it.serving.router.snapshot)
    length = b"Content-Length: %d\r\n"
    assert found(heads, request(b"", framing=length % 13))[1] == 13
    monkeypatch.delattr("serving.endpoints.predictions.known_heads.read_head")
    assert found(heads, request(b"", framing=length % 2048))[1] == 2048
    for wrong in (b"", length % 10**12, b"Content-Length: 1 3\r\n", b"Content-Length: -1\r\n"):
        assert heads.find(request(b"", framing=wrong)) is None


def test_a_second_length_is_never_taken_for_the_first() -> None:
    it = Front()
    heads = Heads(lambda: it.serving.router.snapshot)
    for lengths in ((13, 13), (13, 14), (14, 13)):
        twice = b"Content-Length: %d\r\ncontent-length: %d\r\n" % lengths
        assert heads.find(request(b"", framing=twice)) is None


def heads_of(it: Front) -> Heads:
    return Heads(lambda: it.serving.router.snapshot)


def test_heads_that_differ_by_their_trace_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = heads_of(Front())
    extra = b"Traceparent: 00-%032x-01\r\nX-Request-ID: request-%d\r\n"
    assert found(heads, request(b"", extra=extra % (0, 0)))[2] == b"request-0"
    monkeypatch.delattr("serving.endpoints.predictions.known_heads.read_head")
    for number in (1, 2):
        again = found(heads, request(b"", extra=extra % (number, number)))
        assert again[1:] == (0, b"request-%d" % number)
    assert found(heads, request(b""))[2] == b""


def test_a_bounded_number_of_heads_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.endpoints.predictions.known_heads.CAPACITY", 10)
    heads = heads_of(Front())
    for number in range(100):
        assert heads.find(request(b"", extra=b"X-Mine: %d\r\n" % number)) is not None
        assert heads.kept <= 20


def test_a_traced_head_says_no_more_than_it_does_when_it_is_parsed() -> None:
    """A field behind one of the trace is not taken for a part of the field before."""
    it = Front()
    heads = heads_of(it)
    assert heads.find(request(b"", extra=b"Traceparent: a\r\n more\r\n")) is None
    assert heads.find(request(b"", extra=b" more\r\n")) is None
    assert heads.find(request(b"", extra=b"Traceparent: a\0\r\n")) is None
    it.allow()
    assert heads.find(request(b"", extra=b"Traceparent: b\r\n")) is None
