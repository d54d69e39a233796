"""TCP between hosts: streams whose ends have proved themselves."""
