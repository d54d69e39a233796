"""Transport of requests and websockets, for both clients."""
