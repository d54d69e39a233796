"""The recipe "A command of the client": one row is a command, everywhere."""

import pytest

from clipper_client import Client
from clipper_client.cli import main
from clipper_client.cli.subcommand import Command, Options, Result, arg
from scripts.docs.from_commands import client_commands
from tests.clients.terminal import Terminal


def toast(client: Client, options: Options) -> Result:
    return Result({"slices": options.slices}, f"{options.slices} slices")


TOAST = Command(
    name="toast",
    help="toast some slices",
    arguments=[arg("--slices", "how many (1)", type=int, default=1)],
    run=toast,
)


def test_a_new_row_is_a_command_with_its_help(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "COMMANDS", [*main.COMMANDS, TOAST])
    assert terminal.types("toast", "--slices", 3) == "3 slices\n"
    assert terminal.json("toast") == {"slices": 1}
    assert "toast some slices" in terminal.types("--help")
    assert "how many (1)" in terminal.types("toast", "--help")
    assert "### `clipper toast`\n\nToast some slices." in client_commands()
    assert "`--slices SLICES`" in client_commands()
