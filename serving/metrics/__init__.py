"""What a web process counts, what the cluster is seen to do, and how Prometheus reads both."""
