"""Text of models made fit to store and show: printable, valid and of bounded length."""

# The length of a message: a reason, not the array that a framework quotes in it.
MESSAGE_CHARACTERS = 2000
CUT = "\n[... {} characters left out ...]\n"


def safe_text(text: str, *, most: int = MESSAGE_CHARACTERS) -> str:
    """Return printable UTF-8 of about `most` characters: escaped, without its middle if longer."""
    text = str.__str__(text)  # a model's own class of strings may do as it likes
    if len(text) <= most and text.isprintable():
        return text
    return _cut("".join(map(_printable, _cut(text, most=most))), most=most)


def _cut(text: str, *, most: int) -> str:
    """Leave out the middle of a text that is too long."""
    if len(text) <= most + 50:  # no less than the note takes
        return text
    half = most // 2
    return text[:half] + CUT.format(len(text) - 2 * half) + text[-half:]


def _printable(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
