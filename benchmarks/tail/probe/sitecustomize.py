"""Found by Python at its start where this folder is on the path: full collections, one a second.

Only in a web process that `TAIL_PROBE` is set for. It names the file that tells of them: a line
for each, when it began and when it ended, on the monotonic clock. The event loop has to wait for a
collection by this thread as for one of its own.
"""

import os
import sys

EVERY_SECONDS = 1.0


def watch(file: str) -> None:
    import gc
    import threading
    import time
    from pathlib import Path

    def collect() -> None:
        with Path(file).open("a", buffering=1) as lines:
            while True:
                time.sleep(EVERY_SECONDS)
                begin = time.monotonic()
                gc.collect()
                lines.write(f"{begin} {time.monotonic()}\n")

    threading.Thread(target=collect, name="tail-probe", daemon=True).start()


if "TAIL_PROBE" in os.environ and "clipper_site.asgi:application" in sys.orig_argv:
    watch(os.environ["TAIL_PROBE"])
