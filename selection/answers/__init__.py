"""How several arms' answers become one, and how an application judges it: arithmetic alone."""
