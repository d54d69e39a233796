"""What runtimes share: arrays, tensors, scores and archives of models."""
