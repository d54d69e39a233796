"""Clipper under load: throughput, latency, batches and memory, beside a bare echo server."""
