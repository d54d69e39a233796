"""`python -m clipper_client` is the command `clipper`."""

import sys

from clipper_client.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
