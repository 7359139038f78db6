"""`python -m kbackend`."""

import sys

from kbackend.cli import main

if __name__ == "__main__":
    sys.exit(main())
