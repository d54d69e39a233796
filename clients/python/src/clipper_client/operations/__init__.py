"""What the clients do, each written once for both of them."""
