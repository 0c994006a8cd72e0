"""How a subsystem of the embedded AWS adds resource types, services and behaviours to MiniStack.

Each subsystem is a module with ``def install(extension: Extension) -> None``; ``server.py`` calls them all before it
serves. Only this module, ``seams.py`` and the subsystems' own patches touch MiniStack's private parts. MiniStack reads
its environment when it is imported: import it inside functions, or through :meth:`Extension.module`.
"""

import asyncio
import contextvars
import functools
import importlib
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pm_rehearsal.cloud import seams
from pm_rehearsal.cloud.provider import (
    CreateHandler,
    CreateWrapper,
    DeleteHandler,
    DeleteWrapper,
    Properties,
    Provider,
    Provisioned,
    UnsupportedPropertyError,
    UpdateHandler,
    UpdateWrapper,
    plain_update,
    refuse_unknown,
)
from pm_rehearsal.cloud.wire import (
    Action,
    Interceptor,
    Request,
    Response,
    ServiceError,
    answer,
    call_of,
    error_response,
    json_response,
)

__all__ = [
    "Action",
    "CreateHandler",
    "DeleteHandler",
    "Extension",
    "Interceptor",
    "Properties",
    "Provider",
    "Provisioned",
    "Request",
    "Response",
    "ServiceError",
    "UnsupportedPropertyError",
    "UpdateHandler",
    "json_response",
]

log = logging.getLogger(__name__)

CALL_SECONDS = 120.0


class Extension:
    """The running MiniStack, open for additions.

    Args:
        port: The port that the server listens on.
        directory: Everything that subsystems keep on disk; removed at the end.
        dns_port: Port asked for by ``--dns-port``; 0 means a free one.

    Raises:
        SeamError: The installed MiniStack is not the pinned one, or lacks a private part that we build on.
    """

    def __init__(self, *, port: int, directory: Path, dns_port: int = 0) -> None:
        seams.check()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.directory = directory
        self.dns_port = dns_port
        self.announcements: dict[str, str] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self._provisioners = self.module("services.cloudformation.provisioners")
        self._app = self.module("app")
        self._own_thread: set[str] = set()
        self._resets: list[Callable[[], None]] = []
        self._stops: list[Callable[[], None]] = []
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._clients_lock = threading.Lock()
        self._hook()

    def module(self, name: str) -> Any:
        """A module of MiniStack, for example ``services.rds``."""
        return importlib.import_module(f"ministack.{name}")

    def announce(self, key: str, value: str) -> None:
        """Add a field to the line that the server prints when it is ready, for example ``dns``."""
        self.announcements[key] = value

    # CloudFormation

    def provide(self, provider: Provider) -> None:
        """Add a resource type, or replace MiniStack's own."""
        kind = type(provider)

        def create(logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
            refuse_unknown(kind, properties)
            return provider.create(logical_id, properties, stack_name)

        def update(physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str) -> Provisioned:
            refuse_unknown(kind, new)
            in_place = kind.update is not Provider.update
            if in_place and not any(old.get(name) != new.get(name) for name in kind.replace_on):
                return provider.update(physical_id, old, new, stack_name, logical_id)
            result: Provisioned = self._provisioners._seeded_create(provider.create, logical_id, new, stack_name)
            return result

        self._provisioners._RESOURCE_HANDLERS[kind.type_name] = {
            "create": create,
            "update": update,
            "update_with_logical_id": True,
            "delete": provider.delete,
        }
        self._own_thread.add(kind.type_name)

    def wrap(
        self,
        type_name: str,
        *,
        create: CreateWrapper | None = None,
        update: UpdateWrapper | None = None,
        delete: DeleteWrapper | None = None,
    ) -> None:
        """Put functions around MiniStack's own handlers of a type; each gets the original first, then its arguments.

        Raises:
            KeyError: MiniStack has no such type: use ``provide``.
        """
        handler = self._provisioners._RESOURCE_HANDLERS[type_name]
        original_create = handler["create"]
        if create is not None:
            handler["create"] = functools.partial(create, original_create)
        if update is not None:
            handler["update"] = functools.partial(update, plain_update(handler, original_create))
            handler["update_with_logical_id"] = True
        if delete is not None:
            original_delete, with_logical_id = handler["delete"], handler.get("delete_with_logical_id", False)

            def wrapped(physical_id: str, properties: Properties, logical_id: str | None = None) -> None:
                extra = (logical_id,) if with_logical_id else ()
                delete(lambda p, q: original_delete(p, q, *extra), physical_id, properties)

            handler["delete"] = wrapped
        self._own_thread.add(type_name)

    def physical_name(self, stack_name: str, logical_id: str, max_length: int, *, lowercase: bool = True) -> str:
        """The name that CloudFormation gives a resource without one: stable across updates, new for a replacement."""
        name: str = self._provisioners._physical_name(stack_name, logical_id, lowercase=lowercase, max_len=max_length)
        return name

    # Services

    def serve(self, *, key: str, target_prefix: str, actions: Mapping[str, Action]) -> None:
        """Add an AWS service that speaks the JSON protocol.

        Args:
            key: The service's name inside MiniStack; the SigV4 name where it has one.
            target_prefix: What ``X-Amz-Target`` starts with, for example ``AmazonDMSv20160101``.
            actions: By action name; each runs on a worker thread in the caller's account and region, gets the
                request's JSON and returns the answer's. ``ServiceError`` becomes the AWS error.
        """

        async def handle(
            method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
        ) -> Response:
            del method, path, query
            name = headers.get("x-amz-target", "").rpartition(".")[2]
            action = actions.get(name)
            if action is None:
                return error_response("InvalidAction", f"{key} has no action {name} in the embedded AWS", 400)
            response: Response = await self._on_thread(answer, action, json.loads(body or b"{}"))
            return response

        self.module("core.router").SERVICE_PATTERNS[key] = {"target_prefixes": [target_prefix], "host_patterns": []}
        self._app.SERVICE_HANDLERS[key] = handle

    def intercept(self, service: str, interceptor: Interceptor) -> None:
        """Let a function see each request to one of MiniStack's services first (on a worker thread).

        It returns a response (``json_response``, or its own), or None to let MiniStack answer, or raises
        ``ServiceError`` (JSON services only).
        """
        original: Callable[..., Awaitable[Response]] = self._app.SERVICE_HANDLERS[service]

        async def handle(
            method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
        ) -> Response:
            def forward() -> Response:
                assert self.loop is not None, "requests arrive only while the server's loop runs"  # noqa: S101 - invariant
                call = original(method, path, headers, body, query)
                return asyncio.run_coroutine_threadsafe(_awaited(call), self.loop).result(CALL_SECONDS)

            action, parameters = call_of(headers, body, query)
            request = Request(
                action=action, parameters=parameters, path=path, method=method, body=body, forward=forward
            )
            try:
                response: Response | None = await self._on_thread(interceptor, request)
            except ServiceError as error:
                return error_response(error.code, str(error), error.status)
            return response if response is not None else await original(method, path, headers, body, query)

        self._app.SERVICE_HANDLERS[service] = handle

    # Life

    def on_reset(self, function: Callable[[], None]) -> None:
        """Called when a client asks for a clean slate, before MiniStack forgets its own state."""
        self._resets.append(function)

    def on_stop(self, function: Callable[[], None]) -> None:
        """Called once when the server ends, however it ends."""
        self._stops.append(function)

    def reset(self) -> None:
        """Run every reset hook, last installed first."""
        _run_all(self._resets, "reset")

    def stop(self) -> None:
        """Run every stop hook, last installed first."""
        _run_all(self._stops, "stop")

    # Inside a call

    def scope(self) -> tuple[str, str]:
        """The caller's (account, region)."""
        responses = self.module("core.responses")
        return responses.get_account_id(), responses.get_region()

    def client(self, service: str, *, region: str | None = None) -> Any:
        """A cached, thread-safe boto3 client into this server, in the caller's account, and region unless given.

        Never on the event loop: it would wait for itself. Providers, actions and interceptors run on worker threads.
        """
        account, caller_region = self.scope()
        key = (service, account, region or caller_region)
        if key not in self._clients:
            with self._clients_lock:
                if key not in self._clients:
                    self._clients[key] = self._new_client(*key)
        return self._clients[key]

    def background(self, name: str, function: Callable[..., None], *arguments: Any) -> threading.Thread:
        """Run a function on a daemon thread in the caller's account and region; its exception is logged as an error."""
        context = contextvars.copy_context()

        def run() -> None:
            try:
                context.run(function, *arguments)
            except Exception:  # the thread's last resort: nobody waits for it, so the log is where it surfaces
                log.exception("background work %r failed", name)
                raise

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _new_client(self, service: str, account: str, region: str) -> Any:
        import boto3
        from botocore.config import Config

        # MiniStack reads a 12-digit access key as the account.
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=account,
            aws_secret_access_key="embedded",  # noqa: S106 - the server checks no signature
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=50),
        )

    async def _on_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        # A thread of its own: the work may call back into this server, which a bounded pool would deadlock on.
        return await self.module("core.concurrency").run_reentrant(function, *arguments)

    def _hook(self) -> None:
        stacks = self.module("services.cloudformation.stacks")
        threaded = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda type_name: type_name in self._own_thread or threaded(type_name)
        reset_all = self._app._reset_all_state

        def reset() -> None:
            self.reset()
            reset_all()

        self._app._reset_all_state = reset


async def _awaited(call: Awaitable[Response]) -> Response:
    return await call


def _run_all(functions: list[Callable[[], None]], what: str) -> None:
    for function in reversed(functions):
        try:
            function()
        except Exception:  # one subsystem's failure must not keep the others from cleaning up
            log.exception("%s hook %r failed", what, function)
