"""A receipt travels with every answer, and back with its feedback: it says nothing at length."""

from __future__ import annotations

import msgspec

from serving.testing import PlayedServing, application_spec


async def test_a_receipt_of_arms_that_are_all_asked_is_as_short_as_it_can_be() -> None:
    """A whole 1 stays one, in compiled code as well: 1.0 takes eight bytes more of each arm."""
    it = PlayedServing(application_spec())
    query_id = it.begin().prediction().query_id
    signed = it.signer.verify(query_id)
    whole = [msgspec.structs.replace(arm, propensity=1) for arm in signed.arms]
    shortest = it.signer.sign(msgspec.structs.replace(signed, arms=tuple(whole)))
    assert len(signed.arms) == 3
    assert len(query_id) == len(shortest)
