"""Two ends that share a secret believe each other; every other pair, and every replay, fails."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rpc.errors import AuthenticationFailed, ProtocolError
from serving.rpc.frames.codec import HEADER, Frame, FrameDecoder, FrameType
from serving.rpc.frames.hello import encode_hello
from serving.rpc.tcp.handshake import (
    NONCE_BYTES,
    PROOF_BYTES,
    ContainerHandshake,
    Handshake,
    WebHandshake,
)
from tests.serving.rpc.conftest import HELLO

SECRET = b"the secret of this cluster, and of no other"
HELLO_BODY = encode_hello(HELLO)[HEADER.size :]
SECRETS = st.binary(min_size=1, max_size=80)
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
CONTAINER_NONCE, WEB_NONCE = b"c" * NONCE_BYTES, b"w" * NONCE_BYTES


def container(
    secret: bytes = SECRET,
    *,
    replica: str = "r1",
    hello: bytes = HELLO_BODY,
    nonce: bytes = CONTAINER_NONCE,
) -> ContainerHandshake:
    return ContainerHandshake(secret=secret, replica=replica, hello=hello, nonce=nonce)


def web(secret: bytes = SECRET, *, replica: str = "r1", nonce: bytes = WEB_NONCE) -> WebHandshake:
    return WebHandshake(secret=secret, replica=replica, nonce=nonce)


def frames(data: bytes) -> list[Frame]:
    return FrameDecoder().feed(data)


@dataclass
class Exchange:
    """The frames that two ends sent until they were done, or one of them refused."""

    challenge: Frame
    web_proof: Frame
    container_proof: Frame
    hello: Frame = field(default_factory=lambda: Frame(FrameType.HELLO, 0, HELLO_BODY))


def exchange(near: Handshake, far: Handshake, *, hello: bytes = HELLO_BODY) -> Exchange:
    (challenge,) = frames(far.opening)
    (web_proof,) = frames(near.receive(challenge))
    (container_proof,) = frames(far.receive(web_proof))
    assert near.receive(container_proof) == b""
    assert not near.is_done
    said = Frame(FrameType.HELLO, 0, hello)
    assert near.receive(said) == b""
    return Exchange(challenge, web_proof, container_proof, said)


@given(secret=SECRETS, replica=st.text(max_size=40), nonces=st.tuples(NONCES, NONCES))
def test_two_ends_with_the_same_secret_believe_each_other(
    secret: bytes, replica: str, nonces: tuple[bytes, bytes]
) -> None:
    near = web(secret, replica=replica, nonce=nonces[0])
    far = container(secret, replica=replica, nonce=nonces[1])
    assert near.opening == b""
    exchange(near, far)
    assert near.is_done
    assert far.is_done


@given(ours=SECRETS, theirs=SECRETS)
def test_two_ends_with_different_secrets_never_do(ours: bytes, theirs: bytes) -> None:
    # HMAC fills a short key up with zeros: those are one secret, not two.
    if ours.ljust(80, b"\0") == theirs.ljust(80, b"\0"):
        return
    near, far = web(ours), container(theirs)
    with pytest.raises(AuthenticationFailed, match="the secrets differ"):
        exchange(near, far)
    assert not near.is_done
    assert not far.is_done


def test_a_container_that_only_pretends_is_refused_by_the_web_process() -> None:
    near = web()
    near.receive(Frame(FrameType.CHALLENGE, 0, CONTAINER_NONCE))
    near.receive(Frame(FrameType.PROOF, 0, bytes(PROOF_BYTES)))
    with pytest.raises(AuthenticationFailed, match="replica r1 to prove"):
        near.receive(Frame(FrameType.HELLO, 0, HELLO_BODY))
    assert not near.is_done


def test_a_recorded_proof_is_refused_by_a_container_with_another_nonce() -> None:
    recorded = exchange(web(), container())
    with pytest.raises(AuthenticationFailed):
        container(nonce=b"d" * NONCE_BYTES).receive(recorded.web_proof)


def test_a_recorded_container_is_refused_by_a_web_process_with_another_nonce() -> None:
    recorded = exchange(web(), container())
    near = web(nonce=b"v" * NONCE_BYTES)
    near.receive(recorded.challenge)
    near.receive(recorded.container_proof)
    with pytest.raises(AuthenticationFailed):
        near.receive(recorded.hello)


def test_a_challenge_sent_back_proves_nothing() -> None:
    """A peer without the secret has each end's own words to offer, and no others."""
    near, far = web(), container()
    (challenge,) = frames(far.opening)
    (proof,) = frames(near.receive(challenge))
    own = proof.body[NONCE_BYTES:]
    near.receive(Frame(FrameType.PROOF, 0, own))
    with pytest.raises(AuthenticationFailed):
        near.receive(Frame(FrameType.HELLO, 0, HELLO_BODY))
    with pytest.raises(AuthenticationFailed):
        far.receive(Frame(FrameType.PROOF, 0, challenge.body + proof.body[:PROOF_BYTES]))


def test_a_relay_cannot_pass_a_web_process_on_to_another_replica() -> None:
    near, other = web(replica="r1"), container(replica="r2")
    with pytest.raises(AuthenticationFailed, match="another replica was meant"):
        exchange(near, other)


def test_a_hello_that_was_changed_on_the_way_is_not_believed() -> None:
    near, far = web(), container()
    changed = HELLO_BODY.replace(b'"version":"2"', b'"version":"3"')
    assert changed != HELLO_BODY
    with pytest.raises(AuthenticationFailed):
        exchange(near, far, hello=changed)


@given(flip=st.integers(0, (NONCE_BYTES + PROOF_BYTES) * 8 - 1))
def test_one_changed_bit_of_a_proof_is_enough(flip: int) -> None:
    near, far = web(), container()
    (proof,) = frames(near.receive(frames(far.opening)[0]))
    body = bytearray(proof.body)
    body[flip // 8] ^= 1 << (flip % 8)
    with pytest.raises(AuthenticationFailed):
        far.receive(proof._replace(body=bytes(body)))


@pytest.mark.parametrize("frame_type", [t for t in FrameType if t is not FrameType.PROOF])
def test_a_container_takes_nothing_before_the_proof(frame_type: FrameType) -> None:
    with pytest.raises(
        ProtocolError, match=f"expected PROOF to authenticate, got {frame_type.name}"
    ):
        container().receive(Frame(frame_type, 1, b""))


@pytest.mark.parametrize("frame_type", [FrameType.HELLO, FrameType.PROOF, FrameType.DRAIN])
def test_a_web_process_takes_nothing_before_the_challenge(frame_type: FrameType) -> None:
    with pytest.raises(ProtocolError, match="expected CHALLENGE to authenticate"):
        web().receive(Frame(frame_type, 0, HELLO_BODY))


@pytest.mark.parametrize("size", [0, NONCE_BYTES - 1, NONCE_BYTES + 1, 4096])
def test_nonces_and_proofs_have_one_size(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"in a CHALLENGE, got {size}"):
        web().receive(Frame(FrameType.CHALLENGE, 0, bytes(size)))
    with pytest.raises(ProtocolError, match=f"in a PROOF, got {size}"):
        container().receive(Frame(FrameType.PROOF, 0, bytes(size)))


@pytest.mark.parametrize("end", ["web", "container"])
def test_a_handshake_serves_once(end: str) -> None:
    near, far = web(), container()
    said = exchange(near, far)
    done, again = (near, said.hello) if end == "web" else (far, said.web_proof)
    with pytest.raises(ProtocolError):
        done.receive(again)


def test_no_message_holds_the_secret() -> None:
    for handshake, frame in (
        (container(), Frame(FrameType.PROOF, 0, bytes(64))),
        (container(), Frame(FrameType.DRAIN, 0, b"")),
        (web(), Frame(FrameType.ERROR, 0, b"no")),
    ):
        with pytest.raises(ProtocolError) as caught:
            handshake.receive(frame)
        assert SECRET.decode() not in str(caught.value)
