"""The migration engine and the pm command."""
