"""The HELLO frame: what a replica says of itself as soon as a connection opens."""

from typing import Annotated

import msgspec

from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import FrameType, encode_frame

# More batches at once are no replica's to ask for.
MOST_AT_ONCE = 64


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A replica's description of itself; it takes `concurrency` batches at once."""

    replica: str
    model: str
    version: str
    version_id: int
    generation: int
    input_type: str
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=MOST_AT_ONCE)] = 1


_HELLO = msgspec.json.Decoder(Hello)


def encode_hello(hello: Hello) -> bytes:
    return encode_frame(FrameType.HELLO, 0, msgspec.json.encode(hello))


def decode_hello(body: bytes) -> Hello:
    try:
        return _HELLO.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"expected a HELLO body, got something else: {error}") from error
