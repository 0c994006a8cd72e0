"""``python -m pm_payments``: the service."""

import sys

from pm_payments.server import main

sys.exit(main())
