"""Who may do what: tokens in a file, of which only hashes are kept.

A token is `labelog_{id}_{secret}`, the secret 32 random bytes: so many that a plain hash of it cannot be guessed back.
Whoever has one acts under its name, in some volumes or all, as far as its role goes.

A token for S3 clients is a key pair: they sign with the secret, and do not send it, so it is kept as it is. Nobody but
their owner may read a file of such.
"""

from __future__ import annotations

import enum
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from labelog.engine.commit import draft
from labelog.engine.values import is_name
from labelog.errors import Corrupt, Exists, Invalid, NotFound
from labelog.storage.disk import write_file


class Role(enum.IntEnum):
    """What somebody may do; each may also do what those before it may."""

    READ = 1  # everything that changes nothing
    ANNOTATE = 2  # edit, and take back one's own edits
    REVIEW = 3  # take out anybody's
    ADMIN = 4  # make and delete volumes


NAMES = {role.name.lower(): role for role in Role}
ALL = ("*",)
FORMAT = re.compile(r"labelog_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
KEY = "LABELOG_"  # then the id in capitals: what S3 clients take for the id of a key


@dataclass(frozen=True)
class Token:
    """What is known of a token.

    Attributes
    ----------
    id : 8 hex digits.
    name : the author of what is done with it, such as `vendor-b/ana`.
    hash : SHA-256 of the whole token, in hex; empty for a key pair.
    role : read, annotate, review or admin.
    volumes : the names of those that it is good for; `*` is all.
    made, expires : ISO 8601, UTC; `expires` is None if it never does.
    secret : of a key pair for S3 clients; None for a token.
    """

    id: str
    name: str
    hash: str
    role: str
    volumes: tuple[str, ...]
    made: str
    expires: str | None
    secret: str | None = None

    @property
    def level(self) -> Role:
        return NAMES[self.role]

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now

    def good_for(self, volume: str | None) -> bool:
        """Whether it says anything of a volume; of no one in particular, always."""
        return volume is None or self.volumes == ALL or volume in self.volumes


class Tokens:
    """The tokens of a file; read again when the file has changed. Safe for several threads."""

    def __init__(self, path: Path, warn: Callable[[str], object] | None = None) -> None:
        """`warn` is told, once, why the file cannot be used, and again when the reason is another."""
        self.path = path
        self._warn = warn
        self._trouble: str | None = None
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """All of them, oldest first; none if there is no file. Raises Corrupt."""
        with self._lock:
            self._refresh()
            return list(self._known.values())

    def find(self, text: str) -> Token | None:
        """The token that a text is, if it is one that holds today. Raises Corrupt."""
        match = FORMAT.fullmatch(text)
        with self._lock:
            self._refresh()
            known = self._known.get(match[1]) if match else None
        good = hmac.compare_digest(_hash(text), known.hash if known else "0" * 64)
        return known if known and good and not known.expired(datetime.now(UTC)) else None

    def key_pair(self, key: str) -> Token | None:
        """The key pair whose id this is, if it is one that holds today. Raises Corrupt."""
        with self._lock:
            self._refresh()
            known = self._known.get(key.removeprefix(KEY).lower()) if key.startswith(KEY) else None
        return known if known and known.secret and not known.expired(datetime.now(UTC)) else None

    def add(self, name: str, role: str, volumes: Iterable[str] = ALL, days: float | None = None) -> str:
        """Make a token; its text, which is nowhere to be had again. Raises Invalid."""
        return self._add(name, role, volumes, days, pair=False)[1]

    def add_pair(
        self, name: str, role: str, volumes: Iterable[str] = ALL, days: float | None = None
    ) -> tuple[str, str]:
        """Make a key pair for S3 clients; its id and its secret. Raises Invalid."""
        return self._add(name, role, volumes, days, pair=True)

    def _add(self, name: str, role: str, volumes: Iterable[str], days: float | None, *, pair: bool) -> tuple[str, str]:
        draft(name, None, "", None)  # an author's name
        if role not in NAMES:
            raise Invalid(f"a role is one of {', '.join(NAMES)}, not {role!r}")
        volumes = tuple(volumes) or ALL
        if not all(map(is_name, volumes)):
            raise Invalid(f"a token is for volumes by name, such as cells; found {', '.join(map(repr, volumes))}")
        if days is not None and not 0 < days < 36_500:
            raise Invalid(f"a token holds for some days, not {days}")
        number, now = secrets.token_hex(4), datetime.now(UTC)
        secret = secrets.token_urlsafe(32)
        text = secret if pair else f"labelog_{number}_{secret}"
        expires = None if days is None else (now + timedelta(days=days)).isoformat(timespec="seconds")
        made = Token(number, name, "" if pair else _hash(text), role, volumes,
                     now.isoformat(timespec="seconds"), expires, secret if pair else None)  # fmt: skip
        with self._lock:
            self._refresh()
            if number in self._known:
                raise Exists(f"there is a token {number} already; try again")
            self._write({**self._known, number: made})
        return f"{KEY}{number.upper()}", text

    def revoke(self, number: str) -> Token:
        """Let a token be good for nothing from now on. Raises NotFound."""
        with self._lock:
            self._refresh()
            if number not in self._known:
                named = ", ".join(token.id for token in self._known.values() if token.name == number)
                raise NotFound(f"there is no token with the id {number!r} in {self.path}"
                               + (f"; those of that name have the ids {named}" if named else ""))  # fmt: skip
            gone = self._known[number]
            self._write({known: token for known, token in self._known.items() if known != number})
        return gone

    def _refresh(self) -> None:
        try:
            found = os.stat(self.path)
            state = found.st_ctime_ns, found.st_size, found.st_ino  # that time is also of who may read it
            if state == self._seen:
                return
            entries = json.loads(self.path.read_text())["tokens"]
            tokens = [_read(entry) for entry in entries]
            if any(token.role not in NAMES for token in tokens):
                raise ValueError("a role that is none")
            for token in tokens:
                token.expired(datetime.now(UTC))  # which a time that is none cannot tell
            if found.st_mode & 0o077 and any(token.secret for token in tokens):
                raise ValueError("it has secrets, and others than its owner may read it; chmod 600")
        except FileNotFoundError:
            self._seen, self._known, self._trouble = None, {}, None
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            trouble = f"{self.path} is no file of tokens that can be used: {error}"
            if self._warn is not None and trouble != self._trouble:
                self._warn(trouble)
            self._trouble = trouble
            raise Corrupt(trouble, path=str(self.path)) from None
        self._seen, self._known, self._trouble = state, {token.id: token for token in tokens}, None

    def _write(self, tokens: dict[str, Token]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            text = json.dumps({"tokens": [asdict(token) for token in tokens.values()]}, indent=1)
            write_file(self.path, text.encode() + b"\n")
        finally:
            os.umask(before)
        self._seen, self._known = None, tokens


def _read(entry: dict[str, Any]) -> Token:
    """A token as the file has it; ValueError if something else is there."""
    names = {field.name for field in fields(Token)}
    if not isinstance(entry, dict) or not names - {"secret"} <= set(entry) <= names:
        there = sorted(entry) if isinstance(entry, dict) else type(entry).__name__  # values may be secret
        raise ValueError(f"expected a token with {sorted(names)}, found {there}")
    return Token(**{**entry, "volumes": tuple(entry["volumes"])})


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def default_path() -> Path:
    """Where tokens are kept unless another file is named."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "labelog" / "tokens.json"
