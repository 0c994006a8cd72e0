"""The database roles of docs/architecture.md as statements: idempotent, least privilege, for an RDS master user."""

from collections.abc import Iterator, Mapping

from pg8000.native import identifier, literal

OWNER = "pm_owner"
# The roles that log in; each has a secret of its own.
APP, DMS, CUTOVER, STATUS = "pm_app", "pm_dms", "pm_cutover", "pm_status"
LOGIN_ROLES = (APP, DMS, CUTOVER, STATUS)
# The other one of two users that alternate when a secret is rotated: it may what the first one may.
CLONES = {APP: f"{APP}_clone", DMS: f"{DMS}_clone"}
_ALL_LOGINS = (*LOGIN_ROLES, *CLONES.values())

_MEMBERSHIPS = {
    DMS: (OWNER, "rds_replication"),
    # RDS asks for the membership itself, not for one that is inherited.
    CLONES[DMS]: (DMS, "rds_replication"),
    CLONES[APP]: (APP,),
    CUTOVER: (OWNER, "rds_replication", "pg_monitor", "pg_signal_backend", "pg_read_all_data"),
}


def creation(existing: frozenset[str], verifiers: Mapping[str, str]) -> Iterator[str]:
    """Make each role that is missing, and give each its attributes and its password.

    Args:
        existing: Roles that the server has.
        verifiers: The SCRAM verifier of each login whose password is known: of two that alternate, one.

    A role is created without any attribute and altered afterwards, so that a first run and a repeated one end the same.
    """
    for role in (OWNER, *_ALL_LOGINS):
        if role not in existing:
            yield f"CREATE ROLE {identifier(role)} NOLOGIN"
    yield f"ALTER ROLE {identifier(OWNER)} NOLOGIN NOCREATEDB NOCREATEROLE"
    for role in _ALL_LOGINS:
        password = f" PASSWORD {literal(verifiers[role])}" if role in verifiers else ""
        yield f"ALTER ROLE {identifier(role)} LOGIN NOCREATEDB NOCREATEROLE INHERIT{password}"


def privileges(database: str) -> Iterator[str]:
    """What each role may do, in the order in which it must be granted.

    Run by the master user connected to ``database``, inside one transaction. From PostgreSQL 16 on, creating a role
    gives the right to administer it but not to become it: the master makes itself a member of the owner.
    """
    name = identifier(database)
    logins = ", ".join(identifier(role) for role in _ALL_LOGINS)
    workers = ", ".join(identifier(role) for role in _ALL_LOGINS if role != STATUS)
    yield f"GRANT {OWNER} TO CURRENT_USER"
    for member, groups in _MEMBERSHIPS.items():
        for group in groups:
            yield f"GRANT {identifier(group)} TO {identifier(member)}"

    yield f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"
    yield f"GRANT CONNECT ON DATABASE {name} TO {logins}"
    yield f"GRANT CREATE ON DATABASE {name} TO {OWNER}, {CUTOVER}"
    yield f"GRANT TEMPORARY ON DATABASE {name} TO {DMS}, {CUTOVER}"
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    yield f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}"
    # pm_status only logs in: the fence words that it reads are open to everybody who may.
    yield f"GRANT USAGE ON SCHEMA public TO {workers}"
    # Apply sessions switch triggers off; needs PostgreSQL 15, where parameters can be granted.
    yield f"GRANT SET ON PARAMETER session_replication_role TO {DMS}"
    # Every session of DMS passes triggers and foreign keys, the load's too: an endpoint's AfterConnectScript is
    # documented for changes only.
    for role in (DMS, CLONES[DMS]):
        yield f"ALTER ROLE {role} SET session_replication_role = replica"
    # DMS makes tables for itself: whichever of the two made them, after the next rotation the other one writes them.
    yield f"ALTER ROLE {CLONES[DMS]} SET role = {DMS}"

    yield f"SET LOCAL ROLE {OWNER}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {APP}"
    yield "RESET ROLE"
