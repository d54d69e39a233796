"""The paper's experiments on the model abstraction layer (§4.3, §4.4), rerun on this machine."""
