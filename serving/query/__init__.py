"""The life of a query, from whom to ask to one answer with a receipt."""
