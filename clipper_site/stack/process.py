"""`clipper process KIND`: becomes one process of a stack, by the settings in the environment.

supervisord.conf starts its programs by it, and so do containers and units of systemd. It is the
program itself in the end, so signals reach that as they are.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipper_site import ROOT
from clipper_site.stack.environment import CONTROL_PASSWORD, LISTENING, defaults
from clipper_site.stack.layout import layout_of, make_private, make_var, run_dir_of
from clipper_site.stack.site_files import collect_static
from clipper_site.stack.terminal import StackError

# The kinds, and the setting that says how far each steps back from the cores: one process answers
# for all models, and each moment that it waits for a core behind a model is lost for every query.
NICE = {
    "predict": "",
    "console": "CLIPPER_CONSOLE_NICE",
    "control": "CLIPPER_WORKER_NICE",
    "worker": "CLIPPER_WORKER_NICE",
}
# One slot is one replica: a process of its own, whose model must not spawn threads for all cores.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns only where it can't start."""
    options = parser().parse_args(arguments)
    os.umask(0o077)
    given = {**defaults(), **{name: text for name, text in os.environ.items() if text}}
    try:
        environment = placed(given)
        if options.kind == "console":
            layout = layout_of(Path(environment["CLIPPER_VAR"]), port=0)
            collect_static(layout, environment=environment, beside_old=True)
    except StackError as error:
        print(f"clipper: {error}", file=sys.stderr, flush=True)
        return 1
    command = command_of(options.kind, environment, gpu=options.gpu, name=options.name)
    os.nice(int(environment[NICE[options.kind]]) if NICE[options.kind] else 0)
    os.chdir(ROOT)
    return os.execve(sys.executable, [sys.executable, "-m", *command], environment)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clipper process", description="Become one process of a stack."
    )
    parser.add_argument("kind", choices=NICE)
    parser.add_argument("--gpu", action="store_true", help="a worker whose slots are GPUs")
    parser.add_argument("--name", help="a worker's, beside others of its kind on this host")
    return parser


def placed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with whole paths, and make the folders. Raises StackError."""
    var = Path(environment.get("CLIPPER_VAR", "var")).absolute()
    run = Path(environment.get("CLIPPER_RUN_DIR") or run_dir_of(var)).absolute()
    make_var(var)
    for folder in (run, var / "tmp"):
        make_private(folder)
    known = {
        "CLIPPER_VAR": str(var),
        "CLIPPER_RUN_DIR": str(run),
        "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
        # Where no launcher gave one, nobody orders.
        CONTROL_PASSWORD: environment.get(CONTROL_PASSWORD) or secrets.token_urlsafe(32),
    }
    return {**environment, **known}


def command_of(
    kind: str, environment: dict[str, str], *, gpu: bool = False, name: str | None = None
) -> list[str]:
    """Return what Python runs as this kind; a worker's environment gets what its models need."""
    if kind == "control":
        return _worker("control", name="control", pool="threads", slots="10")
    if kind == "worker":
        of = "gpu" if gpu else "cpu"
        environment |= ONE_THREAD | {"TMPDIR": f"{environment['CLIPPER_VAR']}/tmp"}
        slots = environment[f"CLIPPER_{of.upper()}_SLOTS"]
        return _worker(f"replicas.{of}", name=name or of, pool="prefork", slots=slots)
    if kind == "predict":
        return _master(kind, environment, workers="WEB", listens=[f"http={_address(environment)}"])
    listens = [f"http=unix:{environment['CLIPPER_RUN_DIR']}/console-http.sock"]
    port = environment["CLIPPER_CONSOLE_PORT"]
    if port.strip("0"):
        listens.append(f"http-port={_host(environment)}:{port}")
    return _master(kind, environment, workers="CONSOLE", listens=listens)


def _address(environment: Mapping[str, str]) -> str:
    """The launcher listens already, and hands that over."""
    inherited = environment.get(LISTENING)
    return f"fd:{inherited}" if inherited else f"{_host(environment)}:{environment['CLIPPER_PORT']}"


def _host(environment: Mapping[str, str]) -> str:
    host = environment["CLIPPER_HOST"]
    return f"[{host}]" if ":" in host else host


def _worker(queue: str, *, name: str, pool: str, slots: str) -> list[str]:
    return ["clipper_site.worker", "-Q", queue, "-P", pool, "-c", slots, "-n", f"{name}@%h"]


def _master(
    kind: str, environment: Mapping[str, str], *, workers: str, listens: Sequence[str]
) -> list[str]:
    """A small master keeps those alive that answer, and replaces them one by one."""
    server = ["serving.http.server", f"clipper_site.{kind}_asgi:application"]
    return [
        *("serving.master", kind),
        *(word for listen in listens for word in ("--listen", listen)),
        *("--workers", environment[f"CLIPPER_{workers}_WORKERS"]),
        *("--orders", f"{environment['CLIPPER_RUN_DIR']}/{kind}.master"),
        *(["--short-turns"] if kind == "console" else []),
        *("--", sys.executable, "-m"),
        *(["core.compiled", *server] if kind == "predict" else server),
    ]


if __name__ == "__main__":
    sys.exit(main())
