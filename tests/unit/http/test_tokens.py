"""A token is fetched with two settings, serves until it ends or is refused, and then another one is fetched; over real HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from etl.errors import AuthenticationFailed, ProviderUnavailable
from etl.http.client import Client
from etl.provider import ClientCredentials, Provider, Setting

FORM = {"grant_type": "account_credentials", "account": "{organization_id}"}


class Issuer:
    """Hands out tokens, each good for an hour, and lists calls to whoever has the newest that is not revoked."""

    def __init__(self) -> None:
        self.issued: list[dict[str, Any]] = []
        self.revoked: set[str] = set()
        self.answer: tuple[int, Any] | None = None
        self.authorization: list[str] = []

    def __call__(self, request: Any) -> None:
        given = request.headers["Authorization"]
        self.authorization.append(given)
        if request.path == "/oauth/token":
            posted = request.rfile.read(int(request.headers["Content-Length"])).decode()
            self.issued.append(dict(parse_qsl(posted)))
            token = f"issued-{len(self.issued)}-5eCr3t"
            status, body = self.answer or (200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})
            request.answer(status, json.dumps(body).encode(), Content_Type="application/json")
        elif given == f"Bearer issued-{len(self.issued)}-5eCr3t" and given not in self.revoked:
            request.answer(200, b'{"data":[{"id":1}]}', Content_Type="application/json")
        else:
            body = json.dumps({"status": "error", "message": f"{given} is over"}).encode()
            request.answer(401, body, Content_Type="application/json")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def client(
    issuer: Issuer, serve: Callable[..., Any], connect: Callable[..., Client], provider: Callable[..., Provider]
) -> Client:
    """Give a client that logs in by client credentials."""
    form = provider(
        headers=(),
        own=(Setting(name="organization_id", secret=False),),
        login=ClientCredentials(user=("organization_id",), address="/oauth/token", form=FORM),
    )
    return connect(base_url=f"{serve(issuer).url}/v1", form=form)


def ask(client: Client) -> int:
    """Ask for a page; return how many records it holds."""
    return len(client.get_list("/calls", {}, ("data",)).records)


def test_a_token_is_fetched_once_and_serves_every_request(client: Client, issuer: Issuer, token: str) -> None:
    """With the two settings as HTTP Basic; these go nowhere else."""
    assert [ask(client), ask(client)] == [1, 1]
    pair = b64encode(f"org-1:{token}".encode()).decode()

    assert issuer.issued == [{"grant_type": "account_credentials", "account": "org-1"}]
    assert issuer.authorization == [f"Basic {pair}", "Bearer issued-1-5eCr3t", "Bearer issued-1-5eCr3t"]


def test_a_token_that_ends_is_fetched_again_before_it_does(client: Client, issuer: Issuer, clock: Any) -> None:
    """A minute earlier, so that none is refused on its way."""
    ask(client)
    clock.sleep(3500)
    ask(client)
    assert len(issuer.issued) == 1
    clock.sleep(timedelta(seconds=50).total_seconds())
    ask(client)

    assert (len(issuer.issued), client.retries) == (2, 0)


def test_a_token_that_is_refused_is_fetched_anew_once(client: Client, issuer: Issuer) -> None:
    """It was revoked; the request is sent again with the next one, and nobody notices."""
    ask(client)
    issuer.revoked.add("Bearer issued-1-5eCr3t")

    assert ask(client) == 1
    assert (len(issuer.issued), client.requests) == (2, 2)


def test_where_the_new_one_is_refused_too_the_settings_are_named(client: Client, issuer: Issuer) -> None:
    """Two tokens and no more; none of them stands in the message."""
    issuer.revoked |= {"Bearer issued-1-5eCr3t", "Bearer issued-2-5eCr3t"}
    with pytest.raises(AuthenticationFailed) as raised:
        ask(client)

    assert len(issuer.issued) == 2
    assert "connections.voice.organization_id and connections.voice.token" in str(raised.value)
    assert "5eCr3t" not in str(raised.value)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_credentials_that_bring_no_token_are_refused_like_others(client: Client, issuer: Issuer, status: int) -> None:
    """Many answer 400 (`invalid_client`) to them."""
    issuer.answer = (status, {"status": "error", "message": "invalid_client"})
    with pytest.raises(AuthenticationFailed, match=r"does not accept the credential .*invalid_client"):
        ask(client)

    assert len(issuer.issued) == 1


@pytest.mark.parametrize("answer", [(503, {}), (200, {}), (200, []), (200, {"access_token": "a\nb"}), (200, {"access_token": 5})])
def test_an_outage_where_tokens_are_fetched_is_waited_for(client: Client, issuer: Issuer, answer: tuple[int, Any]) -> None:
    """As one of the list would be; what is no token is never sent."""
    issuer.answer = answer
    with pytest.raises(ProviderUnavailable):
        ask(client)

    assert len(issuer.issued) == 4 and {given[:6] for given in issuer.authorization} == {"Basic "}
