"""`make run` from the first check to the last process gone."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from ipaddress import ip_address
from types import FrameType

from clipper_site import ROOT
from clipper_site.stack import demo, redis_server, stack_readiness
from clipper_site.stack.environment import (
    LISTENING,
    environment_of,
    without_another_stack,
    write_environment_script,
)
from clipper_site.stack.layout import (
    CONSOLE_PORT,
    LISTENS_ON,
    Layout,
    held_port,
    keep_secret,
    layout_of,
    make_folders,
    make_var,
    refuse_taken_port,
    remove_run_dir,
    sole_stack_of,
    usable_console_port,
    usable_host,
    usable_port,
    usable_var,
)
from clipper_site.stack.processes import end_all, processes_of
from clipper_site.stack.site_files import collect_static, docs_built_meanwhile
from clipper_site.stack.supervision import manage, report, supervisord
from clipper_site.stack.terminal import StackError, StopRequested, say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.umask(0o077)  # for every process from here on: database, logs and artifacts are private
    stop_on_signals()
    try:
        layout = layout_of(
            usable_var(options.var),
            port=usable_port(options.port),
            host=usable_host(os.environ.get(LISTENS_ON, "")),
        )
        console_port = usable_console_port(os.environ.get(CONSOLE_PORT, ""), beside=layout.port)
        make_var(layout.var)
        with claimed(layout, console_port=console_port) as listening:
            return run(layout, listening=listening, with_demo=options.demo, with_docs=options.docs)
    except StackError as error:
        print(f"clipper: {error}", file=sys.stderr, flush=True)
        return 1
    except StopRequested:
        say("Stopped.")
        return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clipper up", description="Start Clipper and everything it needs, until Ctrl-C."
    )
    parser.add_argument("--port", default="8000", help="default: 8000")
    parser.add_argument("--var", default="var", help="folder for all state (default: var)")
    parser.add_argument(
        "--no-demo", dest="demo", action="store_false", help="start without seeding the demo"
    )
    parser.add_argument(
        "--docs", action="store_true", help="build the documentation once the stack is ready"
    )
    return parser


def stop_on_signals() -> None:
    for number in SIGNALS:
        # Ignored from the start means nohup, and meant. SIGINT is different: a shell that starts
        # us in the background ignores it on our behalf.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _request_stop)


def _request_stop(number: int, frame: FrameType | None) -> None:
    # Once: from here on stopping runs to its end, however often somebody presses Ctrl-C.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise StopRequested


@contextmanager
def claimed(layout: Layout, *, console_port: int = 0) -> Iterator[int]:
    """Folder and ports are this stack's alone in the block, and free of a crashed one's rest."""
    with ExitStack() as held:
        held.enter_context(sole_stack_of(layout.var))
        end_leftovers(layout, whose="an earlier start")
        listening = held.enter_context(held_port(layout.host, port=layout.port))
        if console_port:
            refuse_taken_port(layout.host, port=console_port, name=CONSOLE_PORT)
        yield listening


def end_leftovers(layout: Layout, *, whose: str) -> None:
    """Stop what still runs though its supervisord doesn't, and say so if there was any."""
    ended = end_all(lambda: processes_of(layout.var), grace_seconds=10.0)
    if ended.left:
        raise StackError(f"Processes {sorted(ended.left)} of {whose} can't be ended.")
    if ended.found:
        killed = f", {len(ended.killed)} of them by force" if ended.killed else ""
        say(f"Ended {len(ended.found)} processes that {whose} left behind{killed}.")


def run(layout: Layout, *, listening: int, with_demo: bool, with_docs: bool) -> int:
    try:
        make_folders(layout)
        variables = prepare(layout) | {LISTENING: str(listening)}
        with supervisord(layout, environment=variables, listening=listening) as child:
            try:
                bring_up(layout, environment=variables, child=child, with_demo=with_demo)
                with docs_built_meanwhile(layout) if with_docs else nullcontext():
                    child.wait()
                stack_readiness.refuse_dead(child)
            except StackError:
                print(report(layout), file=sys.stderr, flush=True)
                raise
            except StopRequested:
                say("\nStopping ...")
                raise
    finally:
        end_leftovers(layout, whose="supervisord")
        remove_run_dir(layout)
    return 0


def prepare(layout: Layout) -> dict[str, str]:
    """All that must stand before the first process starts; returns the environment for them."""
    base = without_another_stack(os.environ)
    server = None if base.get("REDIS_URL") else redis_server.server_for(layout)
    if server:
        redis_server.write_config(layout, max_bytes=redis_server.max_bytes_of(base))
    variables = environment_of(
        layout,
        secret_key=base.get("DJANGO_SECRET_KEY") or keep_secret(layout.secret_key),
        redis_server=server,
        base=base,
    )
    write_environment_script(layout, environment=variables)
    say("Preparing the database ...")
    manage("migrate", "--noinput", "--verbosity=0", environment=variables)
    collect_static(layout, environment=variables, beside_old=False)
    return variables


def bring_up(
    layout: Layout,
    *,
    environment: Mapping[str, str],
    child: subprocess.Popen[bytes],
    with_demo: bool,
) -> None:
    """From started processes to answered questions."""
    say(f"Starting Redis ({environment['CLIPPER_REDIS_SERVER']}), web, CPU worker, control ...")
    stack_readiness.wait_until_live(layout, supervisord=child)
    has_demo = with_demo and demo.seed_once(layout, environment=environment)
    say("Waiting until every part is ready ...")
    lacking = stack_readiness.wait_until_ready(layout, supervisord=child)
    if lacking is None and has_demo:
        demo.ask_questions(layout)
    say(f"\nClipper is {'ready' if lacking is None else 'up'}: {layout.url}")
    for line in [lacking] if lacking is not None else stack_readiness.shortcomings(layout):
        say(f"  {line}")
    if not ip_address(layout.host).is_loopback:
        say(
            f"  Other machines may reach it on {layout.host}, without TLS: put a proxy in front.\n"
            "  The console and the management API answer to the names in CLIPPER_ALLOWED_HOSTS."
        )
    for line in demo.summary(layout) if has_demo else ():
        say(line)
    in_checkout = (ROOT / "manage.py").exists()
    if in_checkout:
        say(f"  Documentation  {layout.url}/docs/")
    say(f"  Logs           {layout.logs}")
    here = f". {layout.environment_script}; .venv/bin/python manage.py status"
    installed = f"clipper manage --var {layout.var} status"
    say(f"  Commands       {here if in_checkout else installed}")
    say("\nCtrl-C stops everything; all data stays for the next start.")


if __name__ == "__main__":
    raise SystemExit(main())
