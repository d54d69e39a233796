"""An input is kept for the checks of new versions only where its application says so."""

from __future__ import annotations

import pytest

from serving.testing import PlayedServing, application_spec, connect, routes_to, turn


@pytest.mark.parametrize("keeps", [True, False])
async def test_an_input_is_kept_where_its_application_says_so(keeps: bool) -> None:
    it = PlayedServing(application_spec(routes=routes_to(1), keep_inputs=keeps))
    replica = connect(it.engine)
    query = it.begin()
    await turn()
    replica.answer({b"[1]": b"7"})
    await query.settled()
    query.prediction()
    assert it.processor.resources.store.input_samples.waiting == (1 if keeps else 0)
