"""The beginnings of a websocket's frames (RFC 6455 §5.2).

The parser takes all it is fed at once. It alone says what is wrong with a frame.
"""

# Bytes of the lengths that two short ones stand for.
_MORE_LENGTH = {126: 2, 127: 8}


class FrameCounter:
    """The frames that have begun, and how many of them since `control` was set were no messages."""

    def __init__(self) -> None:
        self.count = self.control = 0
        # What the frame still lacks behind its head, and what has come of a head.
        self._left = 0
        self._head = b""

    def end_in(self, data: bytes | bytearray, *, most: int) -> int:
        """Return how many of the bytes that come next hold no more than `most` frames."""
        at, size, last = 0, len(data), self.count + most
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            if self.count == last:
                break
            begun = len(self._head)
            head = self._head + data[at : at + 14 - begun]  # the longest has 14 bytes
            length_bytes = _MORE_LENGTH.get(head[1] & 0x7F, 0) if len(head) > 1 else 0
            end = 2 + length_bytes
            masked_end = end + 4 * (len(head) > 1 and head[1] >= 0x80)  # with a mask
            if len(head) < masked_end:
                self._head = bytes(head)
                return size
            self._head = b""
            at += masked_end - begun
            self._left = int.from_bytes(head[2:end], "big") if length_bytes else head[1] & 0x7F
            self.count += 1
            self.control += bool(head[0] & 0x08)
        return at
