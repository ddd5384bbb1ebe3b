"""`python -m rewrite.cli` is the command `rewrite`."""

from rewrite.cli import main

if __name__ == "__main__":
    main()
