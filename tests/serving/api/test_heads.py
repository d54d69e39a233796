"""Heads of prediction requests: what is remembered of them, and for how long."""

from __future__ import annotations

from registry.specs import Snapshot
from serving.api.heads import Heads
from tests.serving.api.front_server import Front, request


def test_heads_of_one_registry_are_not_remembered_for_the_next():
    it = Front()
    heads = Heads(lambda: it.serving.router.snapshot)
    head = request().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    (first, _) = heads.find(head)
    assert heads.find(head)[0] is first
    it.serving.router.apply(Snapshot())
    assert heads.find(head) is None


def test_heads_that_differ_in_the_length_of_the_body_are_parsed_once(monkeypatch):
    it = Front()
    heads = Heads(lambda: it.serving.router.snapshot)
    length = b"Content-Length: %d\r\n"
    assert heads.find(request(b"", framing=length % 13))[1] == 13
    monkeypatch.delattr("serving.api.heads.read_head")
    assert heads.find(request(b"", framing=length % 2048))[1] == 2048
    for wrong in (b"", length % 10**12, b"Content-Length: 1 3\r\n", b"Content-Length: -1\r\n"):
        assert heads.find(request(b"", framing=wrong)) is None


def test_a_second_length_is_never_taken_for_the_first():
    it = Front()
    heads = Heads(lambda: it.serving.router.snapshot)
    for lengths in ((13, 13), (13, 14), (14, 13)):
        twice = b"Content-Length: %d\r\ncontent-length: %d\r\n" % lengths
        assert heads.find(request(b"", framing=twice)) is None
