"""`python -m rewrite.cli` is the command `rewrite`."""

from rewrite.cli.process import run_process

if __name__ == "__main__":
    run_process()
