"""What the custom resources of the data tier run in Lambda; needs nothing of CDK."""

from pathlib import Path

FUNCTIONS = Path(__file__).parent
# What database_roles imports beyond Lambda's own boto3: pg8000 and all that it requires, none of it compiled.
VENDORED = ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")
