"""Somebody at a terminal, for tests of the command `clipper`."""

import json
from typing import Any

import pytest

from clipper_client.cli.main import main


class Terminal:
    """Somebody who types commands."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def types(self, *arguments: object, code: int = 0) -> str:
        """Return the output of a command, which ends with this code."""
        try:
            ended = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            ended = stopped.code if isinstance(stopped.code, int) else 1
        out, self.complaint = self._capsys.readouterr()
        assert ended == code, (out, self.complaint)
        return out

    def json(self, *arguments: object, code: int = 0) -> Any:
        return json.loads(self.types(*arguments, "--json", code=code))
