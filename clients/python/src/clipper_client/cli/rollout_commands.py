"""Commands about rollouts and replays."""

from clipper_client.answers import Rollout
from clipper_client.cli.subcommand import Command, Options, Result, Run, arg
from clipper_client.clients import Client
from clipper_client.options import model_path

# By its state, the exit code of a wait for a rollout; 1 for others.
CODES = {"promoted": 0, "rolled_back": 3, "held": 4}


def _start(client: Client, options: Options) -> Result:
    path = model_path(options.name, "versions", options.version, "deploy")
    said = {"rollout": options.plan, "reason": options.reason}
    release = client.request("POST", path, said)
    return _shown(client.rollout(options.name, release["rollout"]))


def _status(client: Client, options: Options) -> Result:
    return _shown(client.rollout(options.name, options.number))


def _wait(client: Client, options: Options) -> Result:
    rollout = client.wait_for_rollout(options.name, options.number, within_s=options.wait)
    return Result(rollout, _text(rollout), CODES.get(rollout.state, 1))


def _acting(action: str) -> Run:
    def act(client: Client, options: Options) -> Result:
        found = client.act_on_rollout(
            options.name, action, number=options.number, reason=options.reason
        )
        return _shown(found)

    return act


def _shown(rollout: Rollout) -> Result:
    return Result(rollout, _text(rollout))


def _text(rollout: Rollout) -> str:
    gates = [
        f"  {gate['name']}{' in ' + gate['application'] if gate['application'] else ''}: "
        f"{gate['verdict'].replace('_', ' ')}"
        for gate in rollout.gates
    ]
    return "\n".join([str(rollout), *gates])


def _replay(client: Client, options: Options) -> Result:
    rows = {"application": options.app, "since": options.since, "until": options.until}
    found = client.replay(options.name, options.version, set=options.set, **rows)
    text = f"{found['state']}: {found['error'] or found['result']['words']}"
    return Result(found, text, code=int(found["state"] != "done"))


MODEL = arg("name", "of the model")
NUMBER = arg("--number", "of the rollout; the newest if left out", type=int, metavar="N")
REASON = arg("--reason", "kept in the history", default="")
ROLLOUTS = [
    Command(
        name="start",
        help="roll a version out by a plan",
        arguments=[
            MODEL,
            arg("version", "to be rolled out"),
            arg("--plan", "quick, usual (the default), careful or one of yours", default="usual"),
            REASON,
        ],
        run=_start,
    ),
    Command(name="status", help="say how far it is", arguments=[MODEL, NUMBER], run=_status),
    Command(
        name="wait",
        help="wait until it has ended or stays held",
        more="Exits with 0 if it was promoted, 3 if it was rolled back, 4 if it is held, else 1.",
        arguments=[MODEL, NUMBER, arg("--wait", "seconds at most", type=float, metavar="S")],
        run=_wait,
    ),
    *(
        Command(name=action, help=text, arguments=[MODEL, NUMBER, REASON], run=_acting(action))
        for action, text in (
            ("pause", "keep its share of the queries as it is"),
            ("resume", "let it go on, in spite of what holds it"),
            ("promote", "give the version to everybody now; needs a reason"),
            ("abort", "take the version back; needs a reason"),
        )
    ),
]
COMMANDS = [
    Command(name="rollout", help="start, follow and end rollouts", commands=ROLLOUTS),
    Command(
        name="replay",
        help="ask a version about captured queries again",
        arguments=[
            MODEL,
            arg("version", "to be asked"),
            arg("app", "the application whose queries were captured"),
            arg("--since", "a time, or so long ago (7d, 12h)"),
            arg("--until", "likewise"),
            arg("--set", "the rows of a named set alone", metavar="NAME"),
        ],
        run=_replay,
    ),
]
