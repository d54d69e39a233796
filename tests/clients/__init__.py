"""The Python client and its command, against running stacks and real servers."""
