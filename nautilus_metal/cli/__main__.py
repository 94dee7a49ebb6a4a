"""`python -m nautilus_metal.cli`: the command where the script is not on the path."""

import sys

from nautilus_metal.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
