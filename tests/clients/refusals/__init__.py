"""What is refused, when, and what it says: a table, and the tests that hold it."""
