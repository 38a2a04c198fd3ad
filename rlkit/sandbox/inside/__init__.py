"""What runs inside a jail, where the rest of rlkit is not: it imports itself and the standard library alone."""
