"""The engine's AWS side: one adapter per service, over boto3."""
