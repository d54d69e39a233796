"""The replicas and workers that are there, and the views that web processes have of them."""
