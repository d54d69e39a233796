"""The command that deletes an application, a model or a version."""

from __future__ import annotations

import argparse
import sys

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import complain, print_json, print_line
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.operations.management import model_path
from clipper_client.operations.predictions import application_path

APPLICATION, MODEL, VERSION = "application", "model", "version"
LOST = {
    APPLICATION: "with its routes, its feedback and what it learned; models stay",
    MODEL: "with all its versions",
    VERSION: "with its artifact, unless another version has the same one",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(LOST), help="what it is")
    parser.add_argument("name", help="its name; of a version MODEL:VERSION")
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask")


def _delete(client: Client, options: Options) -> int:
    path = _path_of(options.kind, options.name)
    client.request("GET", path)  # a name that isn't there is told before anybody is asked
    if not options.yes and not _confirmed(options):
        complain("nothing was deleted")
        return 1
    try:
        client.request("DELETE", path)
    except ClipperError as error:
        for application in error.details.get("applications", ()):
            complain(f"to unlink it: clipper route remove {application} {options.name}")
        raise
    if options.json:
        print_json({"kind": options.kind, "name": options.name, "deleted": True})
    else:
        print_line(f"{options.kind} {options.name} is deleted")
    return 0


def _path_of(kind: str, name: str) -> str:
    if kind == APPLICATION:
        return application_path(name)
    if kind == MODEL:
        return model_path(name)
    model, colon, version = name.partition(":")
    if not colon:
        raise ValueError(f"Expected a version as MODEL:VERSION, got {name!r}.")
    return model_path(model, "versions", version)


def _confirmed(options: Options) -> bool:
    if not sys.stdin.isatty():
        raise ValueError("Expected --yes: nobody is at a terminal to be asked.")
    print(f"Delete {options.kind} {options.name}, {LOST[options.kind]}? [y/N] ", file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMANDS = (
    Command(
        name="delete",
        help="delete an application, a model or a version",
        more="Asks first, unless --yes is given. What is in use stays, and it says by whom.",
        add_arguments=_add_arguments,
        run=_delete,
    ),
)
