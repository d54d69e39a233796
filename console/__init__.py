"""The console: every page that people look at."""
