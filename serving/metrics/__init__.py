"""Counters of web processes and of the cluster, and their exposition for Prometheus."""
