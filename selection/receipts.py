"""The query id is a signed receipt of the prediction, so that feedback finds it unaided.

A token is url-safe base64, without padding, of a 16-byte MAC (keyed BLAKE2b, RFC 7693) and the
receipt as msgpack: readable, but arms and propensities can't be forged.
"""

import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from core.errors import InvalidReceipt

MAC_BYTES = 16
NONCE_BYTES = 12
KEY_PURPOSE = b"clipper.receipts"

TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class ArmRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An arm that was asked, the chance it had of it, and its output (None: none arrived)."""

    arm: str
    propensity: float
    output: bytes | None = None


class Spent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Seconds until an arm answered or was given up, and its cost."""

    seconds: float = 0.0
    cost: float = 0.0


SHADOWED = 0.0


class RolloutDraw(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A draw between the live version and its canary, which was asked if it was `taken`.

    `chance` is the canary's; `person` is who was drawn once for all of their queries, or "". With
    the chance `SHADOWED` the canary was asked without any part in the answer.
    """

    rollout_id: int
    canary: str
    live: str
    chance: float
    taken: bool
    person: str = ""


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One prediction; its feedback moves nothing if it was `forced`: the caller chose the version.

    So it is if its key was `held_out` of the policy.

    `stored`: outputs are in Redis under the nonce. `excused` are arms whose missing answer is known
    already, or their time was cut short. `window_s` is the feedback window then, `spent` what
    asking each of the `arms` took, if their application sets a price on that, `overlap` what its
    label counts beside those of other times. `defaulted`: the default output was given.
    `rollouts` are draws of canaries: the policy learns nothing of a query that one was asked.
    """

    nonce: bytes
    issued_at_ms: int
    application_id: int
    context: str
    arms: tuple[ArmRecord, ...]
    forced: bool = False
    stored: bool = False
    features: tuple[float, ...] = ()
    excused: tuple[str, ...] = ()
    window_s: int = 0
    key: str = ""
    spent: tuple[Spent, ...] = ()
    held_out: bool = False
    overlap: float = 0.0
    defaulted: bool = False
    rollouts: tuple[RolloutDraw, ...] = ()


_decode = msgspec.msgpack.Decoder(Receipt).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerSecret:
    """The secret that signed receipts until a time (unix milliseconds), and none dated later."""

    key: bytes
    until_ms: int


class ReceiptSigner:
    """Signs receipts and reads back what it signed, or its `former` secret did."""

    def __init__(self, secret: bytes, *, former: FormerSecret | None = None) -> None:
        # It has taken the key in: each receipt begins with a copy, in two thirds of the time.
        self._keyed = blake2b(key=secret, digest_size=MAC_BYTES)
        self._former = former
        self._encode = msgspec.msgpack.Encoder().encode

    def sign(self, receipt: Receipt) -> str:
        body = self._encode(receipt)
        token = binascii.b2a_base64(_mac(body, keyed=self._keyed) + body, newline=False)
        return token.rstrip(b"=").translate(TO_URL_SAFE).decode("ascii")

    def verify(self, token: str) -> Receipt:
        """Return the receipt, or raise `InvalidReceipt` for anything the secrets didn't sign."""
        raw = _from_base64(token)
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if hmac.compare_digest(mac, _mac(body, keyed=self._keyed)):
            return _decoded(body)
        former = self._former
        if former is None or not hmac.compare_digest(
            mac, blake2b(body, key=former.key, digest_size=MAC_BYTES).digest()
        ):
            raise InvalidReceipt(
                "query_id: this system did not sign it, or it was cut or changed since"
            )
        receipt = _decoded(body)
        if receipt.issued_at_ms > former.until_ms:
            raise InvalidReceipt("query_id: signed with a secret that had been replaced by then")
        return receipt


def _decoded(body: bytes) -> Receipt:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Signed with our secret, by a version whose receipts had another shape.
        raise InvalidReceipt("query_id: of a version that is no longer read") from error


def _mac(body: bytes, *, keyed: blake2b) -> bytes:
    mac = keyed.copy()
    mac.update(body)
    return mac.digest()


def read_unverified(token: str) -> Receipt:
    """Return the receipt in a token that this system made. Raises InvalidReceipt."""
    return _decoded(_from_base64(token)[MAC_BYTES:])


def nonce_of(token: str) -> str:
    """Return the nonce of a token that this system made, in hexadecimal digits: unverified."""
    body = _from_base64(token)[MAC_BYTES:]
    # A receipt is an array, whose first item is the nonce: their heads come before it. That of an
    # array of more than 15 items is longer; receipts of an earlier release have fewer.
    start = (3 if body[:1] == b"\xdc" else 1) + 2
    return body[start : start + NONCE_BYTES].hex()


def shadow_nonce(nonce: bytes) -> bytes:
    """Return the nonce under which the answers of a query's shadows are kept."""
    return b"s" + nonce


def fits_inline(outputs: Mapping[str, bytes]) -> bool:
    """Say whether outputs go into the receipt; others must be stored beside it."""
    # Outputs that are larger together wait in Redis, under the nonce, for their feedback.
    return sum(map(len, outputs.values())) <= 256


def derive_key(secret_key: str) -> bytes:
    """Return the receipts' own key, so that no other use of the secret can sign one."""
    return hmac.digest(secret_key.encode(), KEY_PURPOSE, "sha256")


def _from_base64(token: str) -> bytes:
    try:
        text = token.encode("ascii")
        # Longer text can't be a token of ours and isn't worth decoding.
        if len(text) > (64 << 10):
            raise InvalidReceipt("query_id: too long")
        padded = text.translate(FROM_URL_SAFE) + b"=" * (-len(text) % 4)
        raw = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError as error:
        raise InvalidReceipt("query_id: not a token of this system") from error
    # Two texts must never be one receipt: "+" isn't "-", unused bits of the last character are 0.
    if binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(TO_URL_SAFE) != text:
        raise InvalidReceipt("query_id: not a token of this system")
    return raw
