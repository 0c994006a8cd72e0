-- The smallest control schema that keeps the contract of docs/architecture.md: word, admit, the fence trigger. The moves
-- of the engine are plain setval() calls in the tests. The engine's own schema is tested against this pool elsewhere.
create schema pm_control;
create sequence pm_control.fence minvalue 0 start 2;
select setval('pm_control.fence', {word});
create sequence pm_control.lease minvalue 0 start 0;

create function pm_control.word() returns bigint language sql volatile as $$
    select case
        when f.last_value % 10 = 1 and extract(epoch from clock_timestamp()) * 1000 > l.last_value then f.last_value - 1
        else f.last_value
    end from pm_control.fence f, pm_control.lease l
$$;

create function pm_control.admit(epoch bigint) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(7741);
    if pm_control.word() <> epoch * 10 then
        raise exception 'word is %, asked for epoch %', pm_control.word(), epoch using errcode = 'PF001';
    end if;
end $$;

create function pm_control.refuse() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(7741);
    if pm_control.word() % 10 <> 0 then
        raise exception 'fenced: word is %', pm_control.word() using errcode = 'PF001';
    end if;
    return null;
end $$;

create trigger pm_fence before insert or update or delete or truncate on public.written
    for each statement execute function pm_control.refuse();

grant usage on schema pm_control to app;
grant select on all sequences in schema pm_control to app;
