"""What the custom resources of the network tier run in Lambda; needs nothing of CDK."""

from pathlib import Path

FUNCTIONS = Path(__file__).parent
