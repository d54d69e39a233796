"""The control worker: it brings releases, replicas and scaling to where they are wanted."""
