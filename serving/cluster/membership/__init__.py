"""Who is there: replicas, workers, and what web processes see of them."""
