"""Redis of the stack, started once its disk has room: supervisord.conf calls this."""

import sys
from pathlib import Path

from stack.redis_room import run_when_there_is_room

if __name__ == "__main__":
    run_when_there_is_room(Path(sys.argv[1]), config=Path(sys.argv[2]), data=Path(sys.argv[3]))
