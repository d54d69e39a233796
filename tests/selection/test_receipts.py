"""A query id can be read back by who signed it, and anything else is refused politely."""

import base64
import os
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidReceipt
from selection.receipts import (
    MAC_BYTES,
    ArmRecord,
    FormerSecret,
    Receipt,
    ReceiptSigner,
)

SECRET = b"k" * 32
signer = ReceiptSigner(SECRET)
arm_records = st.builds(
    ArmRecord,
    arm=st.text(max_size=20),
    propensity=st.floats(0, 1),
    output=st.none() | st.binary(max_size=40),
)
receipts = st.builds(
    Receipt,
    nonce=st.binary(min_size=12, max_size=12),
    issued_at_ms=st.integers(0, 2**53),
    application_id=st.integers(0, 2**31),
    context=st.text(max_size=30),
    arms=st.lists(arm_records, max_size=6).map(tuple),
    forced=st.booleans(),
    held_out=st.booleans(),
    stored=st.booleans(),
    defaulted=st.booleans(),
)


def three_arms() -> Receipt:
    arms = tuple(ArmRecord(arm, 1, b"7") for arm in ("svm:2", "tree:1", "knn:1"))
    return Receipt(os.urandom(12), 1_700_000_000_000, 1, "", arms)


@given(receipts)
def test_what_was_signed_is_read_back(receipt: Receipt) -> None:
    assert signer.verify(signer.sign(receipt)) == receipt


@given(receipt=receipts, place=st.integers(0), character=st.characters())
def test_a_changed_character_makes_it_invalid(receipt: Receipt, place: int, character: str) -> None:
    token = signer.sign(receipt)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(InvalidReceipt):
            signer.verify(changed)


@given(receipt=receipts, cut=st.integers(1))
def test_a_truncated_token_is_invalid(receipt: Receipt, cut: int) -> None:
    token = signer.sign(receipt)
    with pytest.raises(InvalidReceipt):
        signer.verify(token[: -(cut % len(token)) or 0])


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage_is_invalid_and_nothing_worse(text: str) -> None:
    with pytest.raises(InvalidReceipt):
        signer.verify(text)


@pytest.mark.parametrize("suffix", ["=", "==", "\n", " ", "A", "AAAA"])
def test_nothing_may_follow_a_token(suffix: str) -> None:
    with pytest.raises(InvalidReceipt):
        signer.verify(signer.sign(three_arms()) + suffix)


def signed(body: bytes) -> str:
    """A token of this secret, whatever is in it."""
    mac = blake2b(body, key=SECRET, digest_size=MAC_BYTES).digest()
    return base64.urlsafe_b64encode(mac + body).decode().rstrip("=")


@given(st.binary(max_size=60))
def test_a_signed_body_of_another_shape_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidReceipt):
        signer.verify(signed(body))


def rotated(*, until_ms: int) -> ReceiptSigner:
    """A signer whose secret took the place of `SECRET`."""
    return ReceiptSigner(b"x" * 32, former=FormerSecret(key=SECRET, until_ms=until_ms))


def test_after_a_change_of_the_secret_receipts_of_before_are_read() -> None:
    receipt = three_arms()
    after = rotated(until_ms=receipt.issued_at_ms)
    assert after.verify(signer.sign(receipt)) == receipt
    assert after.verify(after.sign(receipt)) == receipt
    with pytest.raises(InvalidReceipt, match="did not sign"):
        signer.verify(after.sign(receipt))
    with pytest.raises(InvalidReceipt, match="did not sign"):
        after.verify(ReceiptSigner(b"y" * 32).sign(receipt))


def test_the_former_secret_signs_nothing_that_is_dated_after_the_change() -> None:
    receipt = three_arms()
    after = rotated(until_ms=receipt.issued_at_ms - 1)
    with pytest.raises(InvalidReceipt, match="had been replaced by then"):
        after.verify(signer.sign(receipt))


def test_an_enormous_token_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InvalidReceipt, match="too long"):
        signer.verify("A" * (1 << 20))


def test_a_receipt_of_a_later_version_with_more_fields_is_still_read() -> None:
    fields = [*msgspec.structs.astuple(three_arms()), "one more"]
    body = msgspec.msgpack.encode(fields)
    token = signed(body)
    assert signer.verify(token).arms[0].arm == "svm:2"


def test_a_receipt_of_a_release_that_did_not_tell_defaults_is_still_read() -> None:
    fields = msgspec.structs.astuple(three_arms())
    receipt = signer.verify(signed(msgspec.msgpack.encode(fields[:12])))
    assert (receipt.arms[0].arm, receipt.defaulted) == ("svm:2", False)
