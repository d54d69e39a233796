"""The limits of a program with a version's code: rights, sight and resources."""
