"""History of the queries of applications, and their objectives."""
