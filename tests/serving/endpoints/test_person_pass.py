"""A pass lets a person who is signed in ask one application for a minute, as a trial."""

import base64

import pytest

from core.errors import UnknownKey
from serving.endpoints import person_pass
from serving.endpoints.person_pass import issue_pass, key_of_pass
from serving.endpoints.predictions.known_heads import read_head
from serving.testing.specs import application_spec, snapshot_of

SECRET = b"secret"


def issued(secret: bytes = SECRET) -> bytes:
    text = issue_pass(secret, person="ann", application_id=7, scopes=["predict"])
    return b"Pass " + text.encode()


def test_it_allows_its_scopes_at_its_application() -> None:
    key = key_of_pass(issued(), secret=SECRET)
    assert key.allows(scope="predict", application_id=7)
    assert not key.allows(scope="predict", application_id=8)
    assert not key.allows(scope="feedback", application_id=7)
    assert not key.allows(scope="manage", application_id=7)


def test_an_old_or_forged_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = base64.urlsafe_b64decode(issued()[5:])
    forged = base64.urlsafe_b64encode(raw.replace(b"predict", b"manage!"))
    with monkeypatch.context() as patch:
        patch.setattr(person_pass, "LIFE_S", -1.0)
        old = issued()
    for text in (b"Pass " + forged, old, issued(b"other"), b"Pass ", b"Pass %%%", b"Pass AAAA"):
        with pytest.raises(UnknownKey):
            key_of_pass(text, secret=SECRET)


def test_a_trial_never_takes_the_short_cut() -> None:
    snapshot = snapshot_of(application_spec(public=True))
    head = b"POST /api/v1/applications/digits/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
    assert read_head(head + b"\r\n", snapshot=snapshot) is not None
    assert read_head(head + b"Authorization: pass x\r\n\r\n", snapshot=snapshot) is None
