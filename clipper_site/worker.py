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
            without_gossip=options.without_gossip,
            without_mingle=options.without_mingle,
        )
    worker.start()
    return int(worker.exitcode or 0)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clipper_site.worker", description=__doc__)
    parser.add_argument("-Q", dest="queues", required=True, help="by name, with commas between")
    parser.add_argument("-P", dest="pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("-c", dest="concurrency", type=int, required=True, help="slots")
    parser.add_argument("-n", dest="name", help="NAME@HOST; %%h is this host")
    parser.add_argument("--without-gossip", action="store_true")
    parser.add_argument("--without-mingle", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
