"""Commands about models: lists, releases, replicas and logs."""

from pathlib import Path
from time import sleep
from typing import Any, NoReturn

import msgspec

from clipper_client.answers import Replica
from clipper_client.cli.printing import print_line, rollout_table, table
from clipper_client.cli.subcommand import (
    Command,
    Options,
    Result,
    arg,
    flag,
    json_arg,
    pair,
    repeated,
)
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError
from clipper_client.operations.releases import listed, live_version
from clipper_client.options import UNSET


def _status(client: Client, options: Options) -> Result:
    found = client.status()
    applications = [
        [
            app["name"],
            app["input_type"],
            f"{app['slo']['latency_ms']:g} ms",
            app["policy"],
            [_route(route) for route in app["routes"]],
        ]
        for app in found.applications
    ]
    models = [
        [m["name"], m["live_version"], m["versions"][::-1], _replicas(m["name"], found.replicas)]
        for m in found.models
    ]
    tables = (
        table(["application", "input type", "objective", "policy", "asks"], applications),
        table(["model", "live", "versions", "replicas"], models),
        rollout_table(found.rollouts),
    )
    return Result(found, "\n\n".join(filter(None, tables)))


def _route(route: dict[str, Any]) -> str:
    version = route["version"] or route["live_version"]
    return f"{route['model']}:{version}" if version else str(route["model"])


def _replicas(model: str, replicas: list[Replica]) -> list[str]:
    states = [f"{each.version} {each.state}" for each in replicas if each.model == model]
    return [f"{states.count(state)} x {state}" for state in sorted(set(states))]


def _deploy(client: Client, options: Options) -> Result:
    names = "version example app slo_ms default_output runtime method replicas reason input_type"
    names += " allow_signature_change rollout"
    said: Any = {name: getattr(options, name) for name in names.split()}
    release = client.deploy(
        options.name,
        options.artifact,
        **said,
        requirements=options.requirements and Path(options.requirements).read_text("utf-8"),
        wait=options.wait * (not options.no_wait),
        fields=dict(pair("--field", text) for text in options.field),
    )
    return Result(release, str(release))


def _rollback(client: Client, options: Options) -> Result:
    wait = options.wait * (not options.no_wait)
    release = client.rollback(options.name, to=options.to, reason=options.reason, wait=wait)
    return Result(release, str(release))


def _scale(client: Client, options: Options) -> Result:
    version = client.scale(options.name, options.replicas, version=options.version)
    arm = f"{version['model']}:{version['version']}"
    return Result(version, f"{arm} has {version['replicas']} replicas")


def _logs(client: Client, options: Options) -> Result:
    if options.follow:
        _follow(client, options)
    log = client.logs(options.name, version=options.version, lines=options.lines)
    return Result({"replica": log.replica, "lines": log.lines}, "\n".join(log.lines))


def _follow(client: Client, options: Options) -> NoReturn:
    """Print what the replicas of a version write: of the live one, whichever that is by then."""
    ends: dict[str, int] = {}
    while True:
        wanted = options.version or client.run(live_version, options.name)
        for replica in client.run(listed, "replicas"):
            if (replica["model"], replica["version"]) == (options.name, wanted):
                _print_new(client, replica["id"], ends=ends, options=options)
        sleep(1.0)


def _print_new(client: Client, name: str, *, ends: dict[str, int], options: Options) -> None:
    lines = {} if name in ends else {"lines": str(options.lines)}
    asked = {"after": str(ends.get(name, 0))} | lines
    try:
        found = client.request("GET", f"replicas/{name}/log", params=asked)
    except ClipperError as error:
        if error.code != "not_found":
            raise
        return  # it is on another host, or has gone
    ends[name] = found["end"]
    for line in found["lines"]:
        said = {"replica": name, "line": line}
        print_line(msgspec.json.encode(said).decode() if options.json else line)


NAME = arg("name", "of the model")
REASON = arg("--reason", "kept in the history", default="")
LIVE = arg("--version", "the live one if left out")
WAITING = (
    flag("--no-wait", "don't wait until it is live"),
    arg("--wait", "seconds at most (600)", type=float, nargs="?", default=600.0, const=600.0),
)
COMMANDS = [
    Command(name="status", help="list applications, models and replicas", run=_status),
    Command(
        name="deploy",
        help="upload an artifact and make it a model's live version",
        more="Makes the model, its next version and the application if they are missing.",
        arguments=[
            arg("name", "of the model; made if there is none"),
            arg("artifact", "a file, a folder, or the URL of a remote model"),
            arg("--version", "its name; the next number if left out"),
            arg("--runtime", "what the artifact is; by its ending if left out"),
            arg("--method", "what of the model is asked, such as predict_proba"),
            arg("--requirements", "a requirements.txt of what it needs", metavar="FILE"),
            arg("--input-type", "of a new model; by the example if left out"),
            json_arg("--example", "one input"),
            arg("--app", "make this application too, if there is none"),
            arg("--slo-ms", "the application's objective", type=float, metavar="MS"),
            json_arg("--default-output", "the application's", default=UNSET),
            arg("--replicas", "how many (1)", type=int, default=1, metavar="N"),
            REASON,
            arg("--rollout", "the plan by which it goes live (at-once)", default=""),
            flag("--allow-signature-change", "let it take other inputs than the live version"),
            repeated("--field", "another field of the upload", "NAME=VALUE"),
            *WAITING,
        ],
        run=_deploy,
    ),
    Command(
        name="rollback",
        help="make an earlier version live again",
        arguments=[NAME, arg("--to", "the one before if left out"), REASON, *WAITING],
        run=_rollback,
    ),
    Command(
        name="scale",
        help="set how many replicas serve a version",
        arguments=[NAME, arg("replicas", "how many", type=int), LIVE],
        run=_scale,
    ),
    Command(
        name="logs",
        help="print what a version's replica wrote",
        arguments=[
            NAME,
            LIVE,
            arg("--lines", "at most (200)", type=int, default=200, metavar="N"),
            flag("-f --follow", "go on until Ctrl-C; with --json an object a line"),
        ],
        run=_logs,
    ),
]
