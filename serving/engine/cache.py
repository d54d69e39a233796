"""The prediction cache: CLOCK eviction under a byte budget (paper §4.2)."""

from __future__ import annotations

from array import array

# What CPython spends on an entry beside the bytes of key and value: two bytes objects, their
# places in the ring, and a place in the dictionary.
ENTRY_OVERHEAD = 208


class PredictionCache:
    """Maps a key to one model's output as JSON text. Holds at most `budget` bytes.

    CLOCK approximates LRU: a hit marks its entry, and the hand passes over a marked entry once,
    unmarking it, before it evicts. Times are those of a monotonic clock, in seconds.

    The ring lies in four parallel sequences of plain values instead of an object an entry: the
    garbage collector has nothing to follow in them, however full the cache is.
    """

    def __init__(self, *, budget: int) -> None:
        self.budget = budget
        self.bytes_held = 0
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes | None] = []
        self._values: list[bytes] = []
        self._kept_at = array("d")
        self._marked = bytearray()
        self._free: list[int] = []
        self._hand = 0

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: bytes, *, since: float = 0.0) -> bytes | None:
        """Return what was put under `key`, where that was not before `since`."""
        slot = self._slots.get(key)
        if slot is None or self._kept_at[slot] < since:
            return None
        self._marked[slot] = 1
        return self._values[slot]

    def put(self, key: bytes, value: bytes, *, now: float) -> None:
        """Remember `value`; an entry larger than the whole budget is not kept."""
        known = self._slots.get(key)
        if known is not None:
            self._remove(key, known)
        size = _size(key, value)
        if size > self.budget:
            return
        while self.bytes_held + size > self.budget:
            self._evict()
        self._slots[key] = self._place(key, value, now=now)
        self.bytes_held += size

    def _place(self, key: bytes, value: bytes, *, now: float) -> int:
        if not self._free:
            self._keys.append(key)
            self._values.append(value)
            self._kept_at.append(now)
            self._marked.append(0)
            return len(self._keys) - 1
        slot = self._free.pop()
        self._keys[slot], self._values[slot] = key, value
        self._kept_at[slot], self._marked[slot] = now, 0
        return slot

    def _evict(self) -> None:
        """Advance the hand to the first unmarked entry and remove it."""
        while True:
            slot = self._hand
            self._hand = (slot + 1) % len(self._keys)
            key = self._keys[slot]
            if key is None:
                continue
            if not self._marked[slot]:
                self._remove(key, slot)
                return
            self._marked[slot] = 0

    def _remove(self, key: bytes, slot: int) -> None:
        del self._slots[key]
        self.bytes_held -= _size(key, self._values[slot])
        self._keys[slot], self._values[slot] = None, b""
        self._free.append(slot)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD
