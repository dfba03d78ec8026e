"""`python -m labelog.cli` is the command `labelog`."""

import sys

from labelog.cli import main

sys.exit(main())
