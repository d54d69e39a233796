"""Replace the processes of a running stack: `make restart` calls this."""

from scripts.stack.restarting import main

if __name__ == "__main__":
    raise SystemExit(main())
