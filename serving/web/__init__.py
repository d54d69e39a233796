"""What a web process is assembled of."""
