"""Declarations: from the file to the requests that make it so."""
