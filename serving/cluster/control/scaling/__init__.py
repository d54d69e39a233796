"""The number of replicas that a version's load asks for."""
