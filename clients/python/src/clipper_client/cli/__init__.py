"""The command `clipper`: the client for terminals and pipelines."""
