"""The launcher behind `make run`: prepares a folder, starts every process, and stops them all."""
