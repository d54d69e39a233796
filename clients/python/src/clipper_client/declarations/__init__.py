"""What `clipper apply` reads: models, applications and keys as they are to be."""
