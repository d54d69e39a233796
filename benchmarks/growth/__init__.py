"""How the cost of a query grows: with the registry, arms, contexts, replicas, processes, bytes."""
