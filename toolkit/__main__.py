"""`python -m toolkit`: the same as the `toolkit` command."""

import sys

from toolkit.cli.main import main

sys.exit(main())
