"""`python -m crush` and the `crush` command."""

import sys

from crush.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
