"""What the status endpoint runs in Lambda; needs nothing of CDK."""

from pathlib import Path

FUNCTIONS = Path(__file__).parent
