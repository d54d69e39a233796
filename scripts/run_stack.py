"""Start the whole stack and stay in the foreground: `make run` calls this."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipper_site.stack.launcher import main

if __name__ == "__main__":
    raise SystemExit(main())
