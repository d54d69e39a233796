"""Exact states of contexts before the feedback that is still in the table."""

from collections.abc import Iterable, Mapping

import msgspec

from selection.feedback.rebuild.replay import ReplayedContext
from selection.models import StateCheckpoint

_decode = msgspec.msgpack.Decoder(ReplayedContext).decode
_encode = msgspec.msgpack.Encoder().encode


def load(application_id: int) -> dict[str, ReplayedContext]:
    """Return what each context had learned."""
    rows = StateCheckpoint.objects.filter(application_id=application_id)
    found = rows.values_list("context", "learned").iterator(chunk_size=500)
    return {context: _decode(bytes(learned)) for context, learned in found}


def store(
    application_id: int, *, contexts: Mapping[str, ReplayedContext], changed: Iterable[str]
) -> None:
    """Write the `changed` contexts, and forget those of them that are not there any more."""
    names = set(changed)
    rows = StateCheckpoint.objects.filter(application_id=application_id)
    gone = sorted(names - contexts.keys())
    for start in range(0, len(gone), 500):
        rows.filter(context__in=gone[start : start + 500]).delete()
    StateCheckpoint.objects.bulk_create(
        [
            StateCheckpoint(
                application_id=application_id, context=name, learned=_encode(contexts[name])
            )
            for name in sorted(names & contexts.keys())
        ],
        batch_size=500,
        update_conflicts=True,
        unique_fields=("application", "context"),
        update_fields=("learned",),
    )
