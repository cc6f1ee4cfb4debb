"""Users of a JupyterHub at a gateway: the mapping to tenants and roles, permissions, and rejected tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from server import Server, guest, until

from fabric_client import Denied, Fabric, NotFound, Policy, Unavailable
from fabric_client.wire.node import Identity

from .hub import MONITOR, Hub
from .person import Person, cells

Client = Callable[..., Fabric]
People = Callable[[str], Person]

NOTEBOOK = Path(__file__).parent / "hello.ipynb"


def lands(fab: Fabric) -> tuple[str, str]:
    """Returns the tenant and the role of a client."""
    who: Identity = fab.whoami()
    return who.tenant, who.role


def refused(server: Server, token: str) -> Denied:
    """Returns the error with which a server rejects a token."""
    with Fabric(server.url, token) as fab, pytest.raises(Denied) as caught:
        fab.whoami()
    assert caught.value.hint
    return caught.value


def is_refused(server: Server, token: str) -> bool:
    """Returns True if a server rejects a token."""
    answer = httpx.get(f"{server.url}/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 401


def test_a_notebook_works_with_nothing_configured(
    fabric: Server, strict: Server, person: People, client: Client
) -> None:
    alice = person("alice")
    alice.start_server()
    alice.upload(guest("wordcount"))
    whoami, call, mapped, terminal, token = alice.run(*cells(NOTEBOOK), 'import os; print(os.environ["FABRIC_TOKEN"])')
    assert whoami == "('astro', 'developer')\n"
    assert call == "2\n"
    assert mapped == "6\n"
    assert "wordcount" in terminal
    there = client(fabric, "head", tenant="astro")
    assert [found.path for found in there.ls("texts/")] == ["texts/a.txt", "texts/b.txt"]

    assert not is_refused(strict, token.strip())
    alice.stop_server()
    until("the notebook's token ended with its server", lambda: is_refused(strict, token.strip()))


def test_the_first_rule_that_fits_says_where_a_user_lands(fabric: Server, strict: Server, client: Client) -> None:
    assert lands(client(fabric, "alice")) == ("astro", "developer")
    assert lands(client(fabric, "bob")) == ("hub-bob", "developer")
    # This user is in the group astro too, but the rule for admins comes first.
    assert lands(client(fabric, "head")) == ("default", "admin")
    assert lands(client(strict, "head")) == ("lab", "tenant-admin")
    assert lands(client(strict, "alice")) == ("lab", "tenant-admin")
    assert lands(client(strict, "carol")) == ("guests", "invoker")
    # The name includes the user's; the rest of its text is not part of the test.
    assert "carol" in client(strict, "carol").whoami().name


def test_a_user_whom_no_rule_fits_is_denied(strict: Server, client: Client) -> None:
    with pytest.raises(Denied) as caught:
        client(strict, "bob").whoami()
    assert caught.value.code == "denied"
    assert caught.value.hint


def test_a_role_allows_what_it_allows_to_tokens_of_fabric(strict: Server, client: Client) -> None:
    with pytest.raises(Denied) as caught:
        client(strict, "carol").deploy(guest("noop"))
    assert caught.value.code == "denied"


def test_what_is_one_tenants_is_not_there_for_another(fabric: Server, client: Client) -> None:
    alice, bob, head = client(fabric, "alice"), client(fabric, "bob"), client(fabric, "head", tenant="astro")
    alice.put("notes/secret.txt", b"hers")
    job = alice.deploy(guest("noop")).map(["x"])
    job.result()
    for look in (
        lambda: bob.get("notes/secret.txt"),
        lambda: bob.function("noop"),
        lambda: bob.job(job.id).state,
    ):
        with pytest.raises(NotFound):
            look()
    assert bob.ls("") == []
    with pytest.raises(Denied), Fabric(fabric.url, bob.settings.token, tenant="astro") as elsewhere:
        elsewhere.get("notes/secret.txt")
    # An admin may name any tenant.
    assert head.get("notes/secret.txt") == b"hers"


def test_a_token_is_taken_in_both_of_the_hubs_ways_of_sending_it(fabric: Server, person: People) -> None:
    token = person("alice").token()["token"]
    for scheme in ("token", "Bearer"):
        answer = httpx.get(f"{fabric.url}/v1/whoami", headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["tenant"] == "astro"


def test_a_token_needs_the_scope_of_the_service_and_nothing_else(fabric: Server, person: People) -> None:
    alice = person("alice")
    with Fabric(fabric.url, alice.token("access:services!service=fabric")["token"]) as fab:
        assert lands(fab) == ("astro", "developer")
    error = refused(fabric, alice.token("read:users!user")["token"])
    assert error.code == "denied"
    assert "access:services!service=fabric" in f"{error.message} {error.hint}"


def test_nonsense_and_a_services_token_are_refused(fabric: Server) -> None:
    assert refused(fabric, "0123456789abcdef0123456789abcdef").code == "unauthenticated"
    error = refused(fabric, MONITOR)
    assert error.code == "denied"
    assert "service" in error.message


def test_a_revoked_token_is_refused_when_the_cache_time_is_over(fabric: Server, strict: Server, person: People) -> None:
    alice = person("alice")
    token = alice.token()
    assert not is_refused(fabric, token["token"])
    assert not is_refused(strict, token["token"])
    alice.revoke(token)
    until("the token is refused", lambda: is_refused(strict, token["token"]))
    # The other gateway caches the token for an hour.
    assert not is_refused(fabric, token["token"])


def test_names_with_odd_characters_get_tenants_of_their_own(fabric: Server, client: Client) -> None:
    odd = "zoë.o'neil@example.org"
    tenant, role = lands(client(fabric, odd))
    assert role == "developer"
    assert re.fullmatch("hub-[a-z0-9-]{0,58}[a-z0-9]", tenant)
    # A user whose name equals the derived name, or looks the same, gets another tenant.
    others = [
        tenant.removeprefix("hub-"),
        unicodedata.normalize("NFD", odd),
        "zoë-o-neil-example-org",
        "zo-o-neil-example-org",
    ]
    others += ["z" * 80, "z" * 80 + "a"]
    found = [lands(client(fabric, name))[0] for name in others]
    assert len({tenant, *found}) == 1 + len(others), found


def test_without_the_hub_known_tokens_and_fabrics_own_go_on(
    hub: Hub, fabric: Server, strict: Server, client: Client
) -> None:
    once = Policy(attempts=1)
    known, unknown, forgotten = (client(server, "alice", policy=once) for server in (fabric, fabric, strict))
    assert lands(known) == ("astro", "developer")
    assert lands(forgotten) == ("lab", "tenant-admin")
    hub.stop()
    try:
        assert lands(known) == ("astro", "developer")
        with pytest.raises(Unavailable) as caught:
            unknown.whoami()
        assert caught.value.code == "unavailable"
        assert caught.value.hint

        def is_unavailable() -> bool:
            try:
                forgotten.whoami()
            except Unavailable:
                return True
            return False

        until("the cached token has expired", is_unavailable)
        with fabric.connect() as admin:
            assert admin.whoami().role == "admin"
    finally:
        hub.start()
    assert lands(unknown) == ("astro", "developer")
    assert lands(forgotten) == ("lab", "tenant-admin")
