"""Answers and metrics when Clipper itself fails."""

from __future__ import annotations

import json

import pytest

from tests.serving.endpoints.predictions.test_direct_predictions import output
from tests.serving.http.front_server import Front, client_of, request, running


class BrokenSigner:
    """A fault of ours, of whichever kind."""

    def sign(self, receipt: object) -> str:
        raise RuntimeError(f"no signature for {type(receipt).__name__}")


async def test_a_fault_of_ours_is_a_500_that_is_logged_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = Front()
    it.learn(b"[1]")
    monkeypatch.setattr(it.serving.signer, "sign", BrokenSigner().sign)
    async with running(it), client_of(it) as client:
        await client.send(request())
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (500, "internal")
        monkeypatch.undo()
        await client.send(request())  # the connection goes on
        assert output(await client.response()) == [1]
    assert "no signature for Receipt" in caplog.text
    counted = it.serving.metrics.applications["digits"]
    assert (counted.queries, counted.errors) == (1, 1)
