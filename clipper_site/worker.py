"""`celery worker` without the imports of other commands: 3 MiB less for each worker."""

import argparse
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "clipper_site.settings.pageless"

from celery.concurrency import get_implementation
from celery.utils.nodenames import default_nodename, host_format

from clipper_site.celery import app
from core.imports import uncollected


def main() -> int:
    options = parser().parse_args()
    with uncollected():
        worker = app.Worker(
            hostname=host_format(default_nodename(options.name)),
            queues=options.queues.split(","),
            pool_cls=get_implementation(options.pool),
            concurrency=options.concurrency,
            # No worker subscribes to what others say, as CELERY_WORKER_ENABLE_REMOTE_CONTROL says.
            without_gossip=True,
            without_mingle=True,
            # Nobody listens to its events, and while Redis is away they would hold it up.
            without_heartbeat=True,
        )
    worker.start()
    return int(worker.exitcode or 0)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clipper_site.worker", description=__doc__)
    parser.add_argument("-Q", dest="queues", required=True, help="by name, with commas between")
    parser.add_argument("-P", dest="pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("-c", dest="concurrency", type=int, required=True, help="slots")
    parser.add_argument("-n", dest="name", help="NAME@HOST; %%h is this host")
    for said in ("--without-gossip", "--without-mingle"):  # by a supervisord of 0.1.0
        parser.add_argument(said, action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
