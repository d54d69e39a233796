"""How requests and websockets reach the server, for both clients."""
