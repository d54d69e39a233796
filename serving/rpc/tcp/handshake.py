"""Two state machines without I/O that prove to both ends of a TCP link that they know the secret.

CHALLENGE from the container, PROOF from the web process, PROOF and HELLO from the container. A
proof covers both nonces, the role of its author and the replica
(``docs/reference/container-protocol.md``).
"""

import hmac

from serving.rpc.errors import AuthenticationFailed, ProtocolError
from serving.rpc.frames.codec import Frame, FrameType, encode_frame

NONCE_BYTES = 32
PROOF_BYTES = 32
# No frame of a handshake, HELLO included, may be longer than this.
MAX_HANDSHAKE_BODY = 4096

_OF_WEB = b"clipper link 1: web\0"
_OF_CONTAINER = b"clipper link 1: container\0"


class ContainerHandshake:
    """The end that listens. `hello` is the body of the HELLO frame that will follow."""

    def __init__(self, *, secret: bytes, replica: str, hello: bytes, nonce: bytes) -> None:
        self.opening = encode_frame(FrameType.CHALLENGE, 0, nonce)
        self._secret = secret
        self._replica = replica
        self._hello = hello
        self._nonce = nonce
        self.is_done = False

    def receive(self, frame: Frame) -> bytes:
        """Take the peer's next frame and return the reply; raises ProtocolError."""
        body = _body(frame, expected=FrameType.PROOF, size=NONCE_BYTES + PROOF_BYTES)
        nonces = self._nonce + body[:NONCE_BYTES]
        expected = _web_proof(self._secret, nonces=nonces, replica=self._replica)
        if self.is_done or not hmac.compare_digest(body[NONCE_BYTES:], expected):
            raise AuthenticationFailed(
                f"expected a proof of the cluster's secret for replica {self._replica}, "
                "got another: the secrets differ, or another replica was meant"
            )
        self.is_done = True
        proof = _container_proof(self._secret, nonces=nonces, hello=self._hello)
        return encode_frame(FrameType.PROOF, 0, proof)


class WebHandshake:
    """The end that dials, in order to reach `replica` and no other."""

    def __init__(self, *, secret: bytes, replica: str, nonce: bytes) -> None:
        self.opening = b""
        self._secret = secret
        self._replica = replica
        self._nonce = nonce
        self._nonces = b""  # both, once the challenge has come
        self._proof = b""
        self.is_done = False

    def receive(self, frame: Frame) -> bytes:
        """Take the peer's next frame and return the reply; raises ProtocolError."""
        if frame.type is FrameType.ERROR:
            reason = frame.body.decode(errors="replace")
            raise AuthenticationFailed(f"the replica refused this process: {reason}")
        if not self._nonces:
            return self._answer(_body(frame, expected=FrameType.CHALLENGE, size=NONCE_BYTES))
        if not self._proof:
            self._proof = _body(frame, expected=FrameType.PROOF, size=PROOF_BYTES)
        else:
            self._believe(frame)
        return b""

    def _answer(self, challenge: bytes) -> bytes:
        self._nonces = nonces = challenge + self._nonce
        proof = _web_proof(self._secret, nonces=nonces, replica=self._replica)
        return encode_frame(FrameType.PROOF, 0, self._nonce + proof)

    def _believe(self, frame: Frame) -> None:
        hello = _body(frame, expected=FrameType.HELLO)
        expected = _container_proof(self._secret, nonces=self._nonces, hello=hello)
        if self.is_done or not hmac.compare_digest(self._proof, expected):
            raise AuthenticationFailed(
                f"expected replica {self._replica} to prove that it knows the cluster's secret, "
                "got another proof: the secrets differ"
            )
        self.is_done = True


Handshake = ContainerHandshake | WebHandshake


def _web_proof(secret: bytes, *, nonces: bytes, replica: str) -> bytes:
    return hmac.digest(secret, _OF_WEB + nonces + replica.encode(), "sha256")


def _container_proof(secret: bytes, *, nonces: bytes, hello: bytes) -> bytes:
    return hmac.digest(secret, _OF_CONTAINER + nonces + hello, "sha256")


def _body(frame: Frame, *, expected: FrameType, size: int | None = None) -> bytes:
    if frame.type is not expected:
        raise ProtocolError(f"expected {expected.name} to authenticate, got {frame.type.name}")
    if size is not None and len(frame.body) != size:
        raise ProtocolError(f"expected {size} bytes in a {expected.name}, got {len(frame.body)}")
    return bytes(frame.body)
