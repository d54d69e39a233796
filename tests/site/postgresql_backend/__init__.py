"""Django's backend of PostgreSQL, which empties the tables between two tests in little time."""
