"""What the custom resources of the data tier run in Lambda; needs nothing of CDK."""

from pathlib import Path

FUNCTIONS = Path(__file__).parent
