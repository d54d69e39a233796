"""The ground floor: frozen values, errors and names, Redis, locks, tasks, logging."""
