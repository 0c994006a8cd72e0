"""What the source holds before the migration: the service's schema, accounts, and years of payments."""

from collections.abc import Mapping
from typing import Any

import psycopg

OWNER = "pm_owner"
HISTORY_DAYS = 365

# Keys of historical payments are derived from their number, so that seeding again makes the same rows.
_HISTORY = """
with numbered as (
    select n, (%(customers)s::bigint[])[1 + n %% cardinality(%(customers)s::bigint[])] as account_id,
        (1 + (n::bigint * 7919) %% 50000)::numeric / 100 as amount,
        now() - make_interval(secs => (%(payments)s - n) * %(days)s * 86400.0 / %(payments)s) as created_at
    from generate_series(1, %(payments)s) as n
), payment as (
    insert into public.payments (idempotency_key, account_id, amount, currency, created_at)
    select md5('payment ' || n)::uuid, account_id, amount, 'EUR', created_at from numbered order by n
    returning id, account_id, amount, created_at
), numbered_payment as materialized (
    select *, nextval('public.ledger_transaction_id') as transaction_id from payment
)
insert into public.ledger_entries (transaction_id, payment_id, account_id, amount, created_at)
select p.transaction_id, p.id, entry.account_id, entry.amount, p.created_at
from numbered_payment p cross join lateral (
    values (p.account_id, -p.amount),
        ((select id from public.accounts where kind = 'settlement' and currency = 'EUR'), p.amount)
) as entry (account_id, amount)
"""
_CUSTOMERS = "select id from public.accounts where kind = 'customer' and currency = 'EUR' order by id"


def seed(conninfo: Mapping[str, Any], *, schema: str, payments: int, accounts: int = 1000) -> tuple[int, ...]:
    """Create the payment schema, customer accounts and historical payments with their ledger; once.

    Args:
        conninfo: For ``psycopg.connect``; a role that may ``set role pm_owner``, which owns everything.
        schema: SQL of the payment service that creates its tables and may run again.
        payments: Historical payments to make, 0 or more.
        accounts: Customer accounts to make, in EUR.

    Returns:
        The numbers of the customer accounts.

    Raises:
        psycopg.Error: The server refuses, for example because the role is not a member of pm_owner.
        ValueError: The numbers make no sense.
    """
    if payments < 0 or accounts < 1:
        raise ValueError(f"payments is {payments}, accounts is {accounts}: at least 0 and 1 are needed")
    with psycopg.connect(**conninfo) as connection:
        connection.execute(f"set local role {OWNER}")
        connection.execute(schema.encode())
        customers = [number for (number,) in connection.execute(_CUSTOMERS)]
        if not customers:
            connection.execute(
                "insert into public.accounts (kind, holder, currency) values ('settlement', 'settlement', 'EUR')"
            )
            connection.execute(
                "insert into public.accounts (holder, currency)"
                " select 'customer ' || n, 'EUR' from generate_series(1, %s) as n",
                (accounts,),
            )
            customers = [number for (number,) in connection.execute(_CUSTOMERS)]
            connection.execute(_HISTORY, {"customers": customers, "payments": payments, "days": HISTORY_DAYS})
    # Autovacuum would come to it in the middle of the rehearsal.
    with psycopg.connect(**conninfo, autocommit=True) as connection:
        connection.execute(f"set role {OWNER}")
        connection.execute("vacuum analyze public.accounts, public.payments, public.refunds, public.ledger_entries")
    return tuple(customers)
