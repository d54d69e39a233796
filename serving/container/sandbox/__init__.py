"""What a program with a version's code may do, see and take."""
