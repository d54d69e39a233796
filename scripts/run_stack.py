"""Start the whole stack and stay in the foreground: `make run` calls this."""

from stack.launcher import main

if __name__ == "__main__":
    raise SystemExit(main())
