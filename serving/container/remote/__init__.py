"""A model that lives behind HTTP already: whom it may be asked of, how, and in which words."""
