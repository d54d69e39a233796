"""The words that people read are those of the snapshot."""

from scripts.docs.wording import SNAPSHOT, snapshot


def test_every_word_is_that_of_the_snapshot() -> None:
    """`python -m scripts.docs.wording` brings the snapshot up to date."""
    assert SNAPSHOT.read_text(encoding="utf-8").splitlines() == snapshot().splitlines()
