"""Runs the processes of one kind, and replaces them one by one: no Django, nothing of a query."""
