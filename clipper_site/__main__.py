"""Django's command line: `python -m clipper_site COMMAND`, in a checkout `manage.py COMMAND`."""

import atexit
import gc
import os
import sys


def main() -> None:
    # Imports of a command live as long as it. By default they would be looked through for garbage
    # again and again, and at the end: a quarter of what a short one takes.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
