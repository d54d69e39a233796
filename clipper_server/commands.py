"""Commands of the server's wheel: entry points of the group `clipper.commands`.

Each takes the words behind its name, and returns the exit code. Imports wait until the packages
can be found.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from clipper_server import APP

Command = Callable[[Sequence[str]], int]


def up(arguments: Sequence[str]) -> int:
    """Start everything on this machine, until Ctrl-C."""
    _find_packages()
    from clipper_site.stack.launcher import main

    return main(arguments)


def restart(arguments: Sequence[str]) -> int:
    """Replace the processes of a running stack, one by one, without an error for a client."""
    _find_packages()
    from clipper_site.stack.restart import main

    return main(arguments)


def process(arguments: Sequence[str]) -> int:
    """Become one process of a stack whose parts run apart, in a container say."""
    _find_packages()
    from clipper_site.stack.process import main

    return main(arguments)


def worker(arguments: Sequence[str]) -> int:
    """Become a worker of a stack on another host, by a token the first time."""
    _find_packages()
    from clipper_site.stack.host_joining import main

    return main(arguments)


def manage(arguments: Sequence[str]) -> int:
    """Run a management command on the stack of --var, or of the settings in the environment.

    A restore makes the folder that --var names.
    """
    parser = argparse.ArgumentParser(prog="clipper manage", add_help=False, allow_abbrev=False)
    parser.add_argument("--var")
    options, words = parser.parse_known_args(arguments)
    _find_packages()
    from clipper_site.__main__ import main
    from clipper_site.stack.environment import environment_of_running

    var = Path(options.var or os.environ.get("CLIPPER_VAR") or "var")
    if words[:1] == ["restore"]:
        os.environ["CLIPPER_VAR"] = str(var.absolute())
    elif options.var or "DJANGO_SECRET_KEY" not in os.environ:
        script = var / "env.sh"
        if not script.exists():
            parser.exit(1, f"clipper: no stack has run in '{var}' yet: name it by --var\n")
        os.environ.update(environment_of_running(script))
    sys.argv = ["clipper manage", *words]
    main()
    return 0


def migrate(arguments: Sequence[str]) -> int:
    """Bring the database to this release."""
    return manage(["migrate", "--noinput", *arguments])


def doctor(arguments: Sequence[str]) -> int:
    """Check the settings, then say how applications, models and releases are."""
    return manage(["check", "--deploy", *arguments]) or manage(["status", *arguments])


def backup(arguments: Sequence[str]) -> int:
    """Copy all that a stack keeps into a folder, while it runs."""
    return manage(["backup", *arguments])


def restore(arguments: Sequence[str]) -> int:
    """Put a backup where there is no stack yet."""
    return manage(["restore", *arguments])


def move_database(arguments: Sequence[str]) -> int:
    """Move what SQLite holds to PostgreSQL, and compare both."""
    return manage(["move_database", *arguments])


def _find_packages() -> None:
    if str(APP) not in sys.path:
        sys.path.insert(0, str(APP))
