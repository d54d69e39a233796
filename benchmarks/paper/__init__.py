"""The paper's experiments rerun on this machine, and its own numbers (`published.toml`)."""

import tomllib
from pathlib import Path
from typing import Any

SLO_SECONDS = 0.020
PAPER: dict[str, Any] = tomllib.loads(Path(__file__).with_name("published.toml").read_text())
