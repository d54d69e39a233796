"""Sign-in by OpenID Connect, beside the console's own page for passwords."""
