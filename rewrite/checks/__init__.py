"""How results are compared: what is joined in them, what is ordered, and which of it decides."""
