"""Kinds of steps that random models are made of, one group in each file."""
