"""The prediction cache: CLOCK eviction under a byte budget (paper §4.2)."""

from __future__ import annotations

from array import array

# What CPython spends on an entry beside the bytes of key and value: two bytes objects, their
# places in the ring, and a place in the dictionary.
ENTRY_OVERHEAD = 208
# A dictionary that grows, or that is full of deleted places, is copied as a whole while every query
# waits: 6 to 13 ms at 200,000 entries. So many small ones take their turns.
SHARDS = 64
# The hand passes over so many marked entries for one eviction. Where every entry was hit since it
# last came by, it would go all the way round: 26 ms at 260,000 entries.
PASSED_AT_ONCE = 64


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
        self._shards: tuple[dict[bytes, int], ...] = tuple({} for _ in range(SHARDS))
        self._keys: list[bytes | None] = []
        self._values: list[bytes] = []
        self._kept_at = array("d")
        self._marked = bytearray()
        self._free: list[int] = []
        self._hand = 0

    def __len__(self) -> int:
        return len(self._keys) - len(self._free)

    def get(self, key: bytes, *, since: float = 0.0) -> bytes | None:
        """Return what was put under `key`, where that was not before `since`."""
        slot = self._shards[key[-1] % SHARDS].get(key)
        if slot is None or self._kept_at[slot] < since:
            return None
        self._marked[slot] = 1
        return self._values[slot]

    def put(self, key: bytes, value: bytes, *, now: float) -> None:
        """Remember `value`; an entry larger than the whole budget is not kept."""
        slots = self._shards[key[-1] % SHARDS]
        known = slots.get(key)
        if known is not None:
            self._remove(key, known)
        size = _size(key, value)
        if size > self.budget:
            return
        while self.bytes_held + size > self.budget:
            self._evict()
        slots[key] = self._place(key, value, now=now)
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
        """Advance the hand to the first unmarked entry, if there is one near, and remove it."""
        passed = 0
        while True:
            slot = self._hand
            self._hand = (slot + 1) % len(self._keys)
            key = self._keys[slot]
            if key is None:
                continue
            if not self._marked[slot] or passed == PASSED_AT_ONCE:
                self._remove(key, slot)
                return
            self._marked[slot] = 0
            passed += 1

    def _remove(self, key: bytes, slot: int) -> None:
        del self._shards[key[-1] % SHARDS][key]
        self.bytes_held -= _size(key, self._values[slot])
        self._keys[slot], self._values[slot] = None, b""
        self._free.append(slot)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD
