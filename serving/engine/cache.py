"""The prediction cache: CLOCK eviction under a byte budget (paper §4.2)."""

from __future__ import annotations

from dataclasses import dataclass

# What CPython spends on an entry beside the bytes of key and value: the entry, its slot in the
# ring and in the dictionary, and two bytes objects.
ENTRY_OVERHEAD = 250


@dataclass(slots=True)
class Entry:
    key: bytes
    value: bytes
    slot: int
    referenced: bool = False

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value) + ENTRY_OVERHEAD


class PredictionCache:
    """Maps a key to one model's output as JSON text. Holds at most `budget` bytes.

    CLOCK approximates LRU: a hit marks its entry, and the hand passes over a marked entry once,
    unmarking it, before it evicts.
    """

    def __init__(self, *, budget: int) -> None:
        self.budget = budget
        self.bytes_held = 0
        self._entries: dict[bytes, Entry] = {}
        self._ring: list[Entry | None] = []
        self._free: list[int] = []
        self._hand = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.referenced = True
        return entry.value

    def put(self, key: bytes, value: bytes) -> None:
        """Remember `value`; an entry larger than the whole budget is not kept."""
        if key in self._entries:
            self._remove(self._entries[key])
        entry = Entry(key=key, value=value, slot=0)
        if entry.size > self.budget:
            return
        while self.bytes_held + entry.size > self.budget:
            self._evict()
        entry.slot = self._place(entry)
        self._entries[key] = entry
        self.bytes_held += entry.size

    def clear(self) -> None:
        self._entries.clear()
        self._ring.clear()
        self._free.clear()
        self._hand = self.bytes_held = 0

    def _place(self, entry: Entry) -> int:
        if self._free:
            slot = self._free.pop()
            self._ring[slot] = entry
            return slot
        self._ring.append(entry)
        return len(self._ring) - 1

    def _evict(self) -> None:
        """Advance the hand to the first unmarked entry and remove it."""
        while True:
            entry = self._ring[self._hand]
            self._hand = (self._hand + 1) % len(self._ring)
            if entry is None:
                continue
            if not entry.referenced:
                self._remove(entry)
                return
            entry.referenced = False

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self._ring[entry.slot] = None
        self._free.append(entry.slot)
        self.bytes_held -= entry.size
