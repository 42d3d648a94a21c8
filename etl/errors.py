"""
Every way in which a run can fail, sorted by what has to happen next.

    EtlError
    ├── UsageError              exit 2: the command line or the configuration is wrong; nothing was started
    ├── AlreadyRunning          exit 3: another run works on this connection; nothing was touched
    ├── AccountBusy             exit 3: another process uses this account's request allowance; nothing was asked for
    ├── FenceLost               exit 3: another run took this connection over; this one stopped writing
    ├── WarehouseError          exit 1: the database cannot be used; what was committed stays
    │   ├── Collided            another transaction got in the way: the same transaction may be done again
    │   └── SchemaOutdated      the warehouse has an older schema than this program works on: `etl migrate` brings it up
    ├── Interrupted             exit 1: somebody stopped the program; what was committed stays
    ├── BackupFailed            exit 1: a backup cannot be written, or is damaged or of a newer program; nothing was changed
    ├── ProgramFault            exit 1: the program itself has a fault, or the watcher that it was given; its cause says which
    ├── ExportFailed            exit 1: an export cannot be written; the files that stand there are whole
    ├── BudgetSpent             exit 0: the day's request budget is spent; the run ends `partial`, the next one continues
    │   └── GaveWay             another process waits for the account's request allowance
    └── ConnectionFailed        exit 1: this connection's run ends `failed`; the others go on
        ├── AuthenticationFailed   401, 403: never retried; names the setting
        ├── ProviderRefused        another 4xx: asking again would be refused again
        │   └── NotFound           404: `naming` says whose absence the provider's own error shape states
        ├── ProviderUnavailable    5xx, timeouts, cut or unreadable bodies: every attempt was used
        ├── ResponseTooLarge       over `max_response_mb`
        ├── ForeignLink            a `next` link or a redirect leads to another origin: no credential was sent there
        ├── PagingBroken           paging neither ends nor advances
        ├── AnchorNotMet           no held call was seen again: outage or another account; nothing was claimed
        └── ForeignOrganization    a row of another organisation than the pinned one; nothing of its page was stored
"""

from __future__ import annotations

from typing import Self

FORBIDDEN = 403
"""The status by which one agent, or one call, may be refused while the credential is good for the others."""


class EtlError(Exception):
    """
    A failure that is reported to the user in three sentences, never as a traceback.

    `code` is the stable word stored in `sync.runs.error_code`. `connection` is the connection that failed; the code that raises
    the error need not know it, and does not write it into the sentence, because `headline` adds it. No part of the text may hold
    a secret or personal data.
    """

    code = "error"
    exit_code = 1

    def __init__(self, happened: str, *, safe: str = "", hint: str = "") -> None:
        """Say what happened, what is safe, and what to do next (`hint`)."""
        super().__init__(happened)
        self.happened = happened
        self.safe = safe
        self.hint = hint
        self.connection: str | None = None

    def of(self, connection: str) -> Self:
        """Set the connection that failed, unless it is set already, and return the error itself."""
        self.connection = self.connection or connection
        return self

    @property
    def headline(self) -> str:
        """The first sentence as users read it: which connection, and what happened."""
        return f"Connection {self.connection}: {self.happened}" if self.connection else self.happened

    def __str__(self) -> str:
        return " ".join(part for part in (self.headline, self.safe, self.hint) if part)


class UsageError(EtlError):
    """The command line or the configuration is wrong; nothing was started."""

    code = "usage"
    exit_code = 2


class AlreadyRunning(EtlError):
    """Another run is working on this connection."""

    code = "already_running"
    exit_code = 3


class AccountBusy(EtlError):
    """Another process uses the request allowance of this connection's account."""

    code = "account_busy"
    exit_code = 3


class FenceLost(EtlError):
    """Another run has taken this connection over."""

    code = "fence_lost"
    exit_code = 3


class WarehouseError(EtlError):
    """The database cannot be reached or used."""

    code = "warehouse"
    explained = False
    """Whether it was looked into already what helps."""


class Collided(WarehouseError):
    """The database took a transaction back because another one got in its way; doing it again can succeed."""

    code = "collided"


class SchemaOutdated(WarehouseError):
    """The warehouse has an older schema than this program works on; nothing was changed."""

    code = "schema_outdated"


class BackupFailed(EtlError):
    """A backup cannot be written, or is damaged or of a newer program."""

    code = "backup"


class ExportFailed(EtlError):
    """An export cannot be written: a full disk, say."""

    code = "export"


class Interrupted(EtlError):
    """Somebody stopped the program between two pages."""

    code = "interrupted"


class ProgramFault(EtlError):
    """
    The program itself has a fault, or the watcher that was handed to it.

    Only the library raises it. Its cause is the fault, whose text may hold anything, personal data included: it is not ours.
    """

    code = "fault"


class BudgetSpent(EtlError):
    """The day's request budget is spent."""

    code = "budget_spent"
    exit_code = 0


class GaveWay(BudgetSpent):
    """Another process has waited long enough for the account's request allowance."""

    code = "gave_way"


class ConnectionFailed(EtlError):
    """One connection cannot be synced now; the others go on."""

    code = "failed"


class AuthenticationFailed(ConnectionFailed):
    """The provider refused the credential (401), or the right to read this (403): another agent or call it may allow."""

    code = "authentication"

    def __init__(self, happened: str, *, status: int = 401, safe: str = "", hint: str = "") -> None:
        super().__init__(happened, safe=safe, hint=hint)
        self.status = status


class ProviderRefused(ConnectionFailed):
    """The provider refused a request and would refuse it again."""

    code = "refused"

    def __init__(self, happened: str, *, status: int, said: str = "", safe: str = "", hint: str = "") -> None:
        """Keep the HTTP `status` and what the provider `said` (no personal data) for code that can act on them."""
        super().__init__(happened, safe=safe, hint=hint)
        self.status = status
        self.said = said


class NotFound(ProviderRefused):
    """
    The provider answered 404.

    `naming` is what the provider's error body says is absent (`call`, `agent`); None may be a wrong route, a proxy or an outage.
    """

    code = "not_found"

    def __init__(self, happened: str, *, naming: str | None, said: str = "", safe: str = "", hint: str = "") -> None:
        super().__init__(happened, status=404, said=said, safe=safe, hint=hint)
        self.naming = naming


class ProviderUnavailable(ConnectionFailed):
    """The provider could not be reached or understood in any of the attempts."""

    code = "unavailable"


class ResponseTooLarge(ConnectionFailed):
    """A response is larger than `http.max_response_mb`."""

    code = "response_too_large"


class ForeignLink(ConnectionFailed):
    """A link or redirect leads to another origin than the configured one."""

    code = "foreign_link"


class PagingBroken(ConnectionFailed):
    """The provider's paging neither ends nor advances."""

    code = "paging_broken"


class AnchorNotMet(ConnectionFailed):
    """No held call was seen again, so nothing that was read can be trusted."""

    code = "anchor_not_met"


class ForeignOrganization(ConnectionFailed):
    """A record belongs to another organisation than the pinned one."""

    code = "foreign_organization"


class NothingUsable(ConnectionFailed):
    """The provider listed records, and none of them could become a call."""

    code = "nothing_usable"
