"""The reference payment service that both environments run."""

from pm_payments.ledger import Ledger, Payment, Refund, schema
from pm_payments.server import main, serve
from pm_payments.settings import Settings, SettingsError

__all__ = ["Ledger", "Payment", "Refund", "Settings", "SettingsError", "main", "schema", "serve"]
