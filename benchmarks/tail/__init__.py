"""The tail of latency under a steady load, alone and with one disturbance at a time."""
