"""What the custom resources that several tiers use run in Lambda; needs nothing of CDK."""

from pathlib import Path

FUNCTIONS = Path(__file__).parent
