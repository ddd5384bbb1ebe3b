"""Float16: which weights fit into it, which values do, and a program that computes in it."""
