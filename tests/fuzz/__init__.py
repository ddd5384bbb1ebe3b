"""Random models, compiled and compared with eager torch: `python -m tests.fuzz --seeds 0-99`."""
