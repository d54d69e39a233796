"""Print the Redis server that the stack would start, or exit with 1: for scripts/setup."""

from stack.redis_server import find_server

if __name__ == "__main__":
    server = find_server()
    if server is None:
        raise SystemExit(1)
    print(server)
