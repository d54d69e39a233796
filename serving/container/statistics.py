"""What a replica counts of its batches, in whichever process they are answered."""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """`in_flight` are batches being worked on or waiting; `batch_size` is that of the last one."""

    queries: Count = 0
    batches: Count = 0
    batch_size: Count = 0
    in_flight: Count = 0
    last_error: str | None = None
