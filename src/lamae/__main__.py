"""`python -m lamae`, for launchers such as torchrun."""

import sys

from lamae.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
