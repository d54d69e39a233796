"""Why a model failed: errors, tracebacks, crashes and its last words."""
