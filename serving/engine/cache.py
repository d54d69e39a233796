"""The prediction cache: CLOCK eviction under a byte budget (paper §4.2)."""

from __future__ import annotations

from array import array

# What CPython spends on an entry beside the bytes of key and value: two bytes objects, their
# places in the ring, and a place in the dictionary.
ENTRY_OVERHEAD = 208
# A dictionary that grows, or that is full of deleted places, is copied as a whole while every query
# waits: 6 to 13 ms at 200,000 entries. So many small ones take their turns.
SHARDS = 64
# One new entry makes so many others go at most, and the hand passes over so many marked ones for
# each: 0.2 ms. Unbounded, one near a budget of 256 MB had everything evicted, for 687 ms.
AT_ONCE = 256


class PredictionCache:
    """Maps a key to one model's output as JSON text. Holds at most `budget` bytes.

    CLOCK approximates LRU: a hit marks its entry, and the hand passes over a marked entry once,
    unmarking it, before it evicts. Times are those of a monotonic clock, in seconds.

    An entry above 64 KiB and a sixteenth of the budget is not kept, nor is one that more than
    `AT_ONCE` others would have to leave for: those are gone, so that it may be kept when it comes
    again.

    The ring lies in four parallel sequences of plain values instead of an object an entry: the
    garbage collector has nothing to follow in them, however full the cache is.
    """

    def __init__(self, *, budget: int) -> None:
        self.budget = budget
        self.bytes_held = 0
        self._shards: tuple[dict[bytes, int], ...] = tuple({} for _ in range(SHARDS))
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._kept_at = array("d")
        self._marked = bytearray()
        self._hand = 0
        self._largest = min(budget, max(budget // 16, 64 << 10))

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: bytes, *, since: float = 0.0) -> bytes | None:
        """Return what was put under `key`, where that was not before `since`."""
        slot = self._shards[key[-1] % SHARDS].get(key)
        if slot is None or self._kept_at[slot] < since:
            return None
        self._marked[slot] = 1
        return self._values[slot]

    def put(self, key: bytes, value: bytes, *, now: float) -> None:
        """Remember `value`, where it is not too large."""
        slots = self._shards[key[-1] % SHARDS]
        known = slots.get(key)
        if known is not None:
            self._remove(key, known)
        size = len(key) + len(value) + ENTRY_OVERHEAD
        if size > self._largest:
            return
        evicted = 0
        while (held := self.bytes_held + size) > self.budget:
            if evicted == AT_ONCE:
                return
            slot = self._next_to_go()
            gone = self._keys[slot]
            freed = len(gone) + len(self._values[slot]) + ENTRY_OVERHEAD
            if held - freed <= self.budget:
                # Nearly always one goes for one that comes: it takes the place behind the hand.
                del self._shards[gone[-1] % SHARDS][gone]
                slots[key] = slot
                self._keys[slot], self._values[slot] = key, value
                self._kept_at[slot], self._marked[slot] = now, 0
                self.bytes_held = held - freed
                return
            self._remove(gone, slot)
            evicted += 1
        slots[key] = len(self._keys)
        self._keys.append(key)
        self._values.append(value)
        self._kept_at.append(now)
        self._marked.append(0)
        self.bytes_held = held

    def _next_to_go(self) -> int:
        """Advance the hand past the first unmarked entry, if there is one near, and return it."""
        passed, count = 0, len(self._keys)
        while True:
            slot = self._hand if self._hand < count else 0
            self._hand = slot + 1
            if not self._marked[slot] or passed == AT_ONCE:
                return slot
            self._marked[slot] = 0
            passed += 1

    def _remove(self, key: bytes, slot: int) -> None:
        """Take an entry out; the last one takes its place, so that the ring has no gaps."""
        del self._shards[key[-1] % SHARDS][key]
        self.bytes_held -= len(key) + len(self._values[slot]) + ENTRY_OVERHEAD
        last, value = self._keys.pop(), self._values.pop()
        kept_at, marked = self._kept_at.pop(), self._marked.pop()
        if last != key:
            self._keys[slot], self._values[slot] = last, value
            self._kept_at[slot], self._marked[slot] = kept_at, marked
            self._shards[last[-1] % SHARDS][last] = slot
