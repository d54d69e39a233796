"""Names of contexts: a user or a session whose selection state a query uses."""

MAX_CHARACTERS = 256
# The one of queries that name none, and what every other one starts from.
GLOBAL_CONTEXT = ""


def fault_of(context: str, *, name: str = "context") -> str | None:
    """Return what is wrong with a context, None where nothing is; a key may be the same."""
    if len(context) > MAX_CHARACTERS:
        return f"{name}: expected at most {MAX_CHARACTERS} characters, got {len(context)}"
    # PostgreSQL keeps no text with it, and what was learned from feedback must be kept.
    if "\0" in context:
        return f"{name}: expected text without NUL characters"
    return None
