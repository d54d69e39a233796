"""The event listener that supervisord.conf starts; see stack/orphans.py."""

from stack.orphans import listen

if __name__ == "__main__":
    listen()
