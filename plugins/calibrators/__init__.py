"""Calibrators: streaming estimators of a tensor's range, one per file."""
