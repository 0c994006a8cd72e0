-- The control schema, one in each database. Run by pm_cutover inside one transaction; running it again changes nothing
-- that is already there except the bodies of functions.
--
-- The fence word is epoch * 10 + state; state 0 open, 1 fenced with a lease, 2 sealed. Word and lease are sequences,
-- because reading a sequence ignores the snapshot: a REPEATABLE READ transaction that began before the fence would
-- still read an old row, but sees the new word. setval is not undone by a rollback, so every check comes before it.

create schema if not exists pm_control;

create sequence if not exists pm_control.fence minvalue 0 start 2;
create sequence if not exists pm_control.lease minvalue 0 start 0; -- milliseconds since 1970

create table if not exists pm_control.marker (
    token varchar(200) primary key, -- DMS replicates no table whose key is text: that is a large object to it
    written_at timestamptz not null default clock_timestamp()
);

create table if not exists pm_control.handoff (
    epoch bigint primary key,
    start_lsn pg_lsn not null,
    token varchar(200) not null, -- of the marker that was written with it
    at timestamptz not null default clock_timestamp()
);

-- Slots that DMS made for itself, noted before their task is stopped: an unread slot keeps WAL until the disk is full.
create table if not exists pm_control.task_slot (
    slot_name text primary key
);

-- Its body is bound when it is created, so it needs no search_path of its own and is inlined where it is called.
create or replace function pm_control.clock_ms() returns bigint
language sql volatile
return (extract(epoch from clock_timestamp()) * 1000)::bigint;

-- What a word means, for messages.
create or replace function pm_control.described(stored bigint) returns text
language sql immutable
return format('%s at epoch %s', (array['open', 'fenced', 'sealed'])[stored % 10 + 1], stored / 10);

-- The effective word: a fence whose lease ran out reads as open, so that a dead engine stops nobody for longer.
create or replace function pm_control.word() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    -- The clock before the word: seal() looks at the clock after it has moved the word. A caller whose clock is past
    -- the lease therefore reads the word later than any seal() that still found the lease running, and sees it.
    now_ms bigint := pm_control.clock_ms();
    stored bigint;
begin
    select last_value into stored from pm_control.fence;
    if stored % 10 = 1 and now_ms > (select last_value from pm_control.lease) then
        return stored - 1;
    end if;
    return stored;
end $$;

-- First statement of every application transaction. The shared lock is held until commit: the engine's exclusive
-- request for it returns when the last admitted transaction has ended.
create or replace function pm_control.admit(epoch bigint) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint;
begin
    perform pg_advisory_xact_lock_shared(7741);
    stored := pm_control.word();
    if stored is distinct from epoch * 10 then
        raise exception using
            errcode = 'PF001',
            message = format('this database is %s, the transaction came for epoch %s',
                pm_control.described(stored), coalesce(epoch::text, 'null')),
            hint = 'Read pm_control.word() of every candidate and repeat the transaction on the open one.';
    end if;
end $$;

-- The same on every replicated table, for whoever does not call admit: a shell, a batch job, a forgotten task.
-- It does not fire in apply sessions (session_replication_role = replica).
create or replace function pm_control.guard() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint;
begin
    perform pg_advisory_xact_lock_shared(7741);
    stored := pm_control.word();
    if stored % 10 <> 0 then
        raise exception using
            errcode = 'PF001',
            message = format('this database is %s: %s on %I.%I is refused',
                pm_control.described(stored), lower(tg_op), tg_table_schema, tg_table_name),
            hint = 'Read pm_control.word() of every candidate and repeat the transaction on the open one.';
    end if;
    if tg_op = 'TRUNCATE' then
        raise exception using
            errcode = 'PF003',
            message = format('TRUNCATE on %I.%I is refused while it is replicated', tg_table_schema, tg_table_name),
            hint = 'DMS does not repeat it, and the rows would come back with the next move: use DELETE.';
    end if;
    return null;
end $$;

-- The other way round for replication, which writes as replica: only into a sealed database. A task of the old direction
-- that replays after a crash, or that somebody starts again, would write old rows over those of the open writer.
-- Called for each row of a load: without a search_path of its own, and a lease is nothing to it, it is as cheap as can be.
create or replace function pm_control.guard_replica() returns trigger
language plpgsql volatile as $$
declare
    stored bigint;
begin
    select last_value into stored from pm_control.fence;
    if stored % 10 <> 2 then
        raise exception using
            errcode = 'PF004',
            message = format('this database is %s: replicated %s on %I.%I is refused',
                pm_control.described(stored), lower(tg_op), tg_table_schema, tg_table_name),
            hint = 'Rows are replicated from the open database to the sealed one: stop the task that writes here.';
    end if;
    return coalesce(new, old);
end $$;

-- The engine's moves. Each may be repeated; each refuses (PF002) an epoch or a state that is not its own. The caller
-- holds the engine lock (7740) on both databases.

create or replace function pm_control.refuse(move text, epoch bigint, stored bigint) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using
        errcode = 'PF002',
        message = format('%s at epoch %s is refused: this database is %s',
            move, epoch, pm_control.described(stored));
end $$;

create or replace function pm_control.fence(epoch bigint, lease_ms bigint) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint;
begin
    select last_value into stored from pm_control.fence;
    if stored not in (epoch * 10, epoch * 10 + 1) then
        perform pm_control.refuse('fence', epoch, stored);
    end if;
    perform setval('pm_control.lease', pm_control.clock_ms() + lease_ms); -- before the word that it qualifies
    return setval('pm_control.fence', epoch * 10 + 1);
end $$;

create or replace function pm_control.seal(epoch bigint) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint := pm_control.word();
begin
    if stored = epoch * 10 + 2 then
        return stored;
    end if;
    if stored <> epoch * 10 + 1 then
        perform pm_control.refuse('seal', epoch, stored);
    end if;
    perform setval('pm_control.fence', epoch * 10 + 2);
    if pm_control.clock_ms() > (select last_value from pm_control.lease) then
        -- The lease ran out meanwhile: writes may have been admitted after the drain. As before: reads as open.
        perform setval('pm_control.fence', epoch * 10 + 1);
        perform pm_control.refuse('seal', epoch, epoch * 10);
    end if;
    return epoch * 10 + 2;
end $$;

-- Takes back fence and seal. The caller knows that the other database has not been opened at a later epoch.
create or replace function pm_control.reopen(epoch bigint) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint;
begin
    select last_value into stored from pm_control.fence;
    if stored / 10 <> epoch then
        perform pm_control.refuse('reopen', epoch, stored);
    end if;
    return setval('pm_control.fence', epoch * 10);
end $$;

-- The point of no return: the caller has sealed the other database.
create or replace function pm_control.open(epoch bigint) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    stored bigint;
begin
    select last_value into stored from pm_control.fence;
    if stored = epoch * 10 then
        return stored;
    end if;
    if stored % 10 <> 2 or stored / 10 >= epoch then
        perform pm_control.refuse('open', epoch, stored);
    end if;
    if not exists (select from pm_control.handoff h where h.epoch = open.epoch) then
        raise exception using
            errcode = 'PF002',
            message = format('open at epoch %s is refused: no handoff position has been fixed for it', epoch);
    end if;
    return setval('pm_control.fence', epoch * 10);
end $$;

-- Whoever writes a fenced table must be checkable; only the schema's owner moves the word.
revoke all on all functions in schema pm_control from public;
grant usage on schema pm_control to public;
grant select on sequence pm_control.fence, pm_control.lease to public;
grant execute on function
    pm_control.clock_ms(), pm_control.word(), pm_control.described(bigint), pm_control.admit(bigint) to public;
grant select, insert, update, delete on pm_control.marker to pm_owner; -- pm_dms applies the markers
grant create on schema pm_control to pm_owner; -- pm_dms keeps DMS's own tables here, which go with the schema
