"""The rules by which a Snapshot answers the classifier.

Rules:
  1. A function reads when an owner's word names it with its definition, or when it is SQL, immutable or stable, without
     SECURITY DEFINER, and its body, its defaults and its types are known to read by the classifier's own rules.
  2. Code in C is the server's administrators': an immutable or stable function of a reviewed library reads, and so does
     one that an extension binds to an operator, a cast or a comparison. Input and output of base types are trusted:
     only a superuser can make them.
  3. Everything else is not known to read. All overloads of a name count together, in every schema of the path.
  4. A view is as good as its query and as the functions that the server notes for it, a relation as its policies and
     its columns' types. A foreign table is read by another server, or by a program: never known to read only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from edge_agent.catalogue.limits import DEFAULT_LIMITS, CatalogueLimits
from edge_agent.catalogue.snapshot import FIRST_USER_OID, Function, Operator, Reader, Relation, Snapshot, Type
from edge_agent.classify import builtins
from edge_agent.classify.known import Known, Reading
from edge_agent.classify.names import visible, words
from edge_agent.classify.settings import HARMLESS
from edge_agent.classify.sql import classify_sql
from twokeys.effect import DATABASE, Access, Effect, ObjectKind, ObjectRef

Path = tuple[str, ...]

LIBRARIES: Final = words(
    """
    citext hstore ltree pg_trgm cube seg isn _int btree_gin btree_gist fuzzystrmatch unaccent uuid-ossp pgcrypto
    dict_int dict_xsyn earthdistance
    """
)
"""Libraries of PostgreSQL's own contrib whose immutable and stable functions were reviewed: none runs SQL in strings,
none reaches beyond the database."""

LIBRARY_READERS: Final = frozenset(
    {("pg_stat_statements", "pg_stat_statements"), ("pg_stat_statements", "pg_stat_statements_info"),
     ("uuid-ossp", "uuid_generate_v1"), ("uuid-ossp", "uuid_generate_v1mc"), ("uuid-ossp", "uuid_generate_v4"),
     ("pgcrypto", "gen_random_uuid"), ("pgcrypto", "gen_random_bytes"), ("pgcrypto", "gen_salt")}
)  # fmt: skip
"""Volatile functions of such libraries that change nothing."""

_FINE: Final = Reading()


class Catalogue:
    """Implements `edge_agent.classify.known.Known` for one Snapshot. Not for several threads at once.

    Args:
        snapshot: What the server said.
        readers: Owners' words.
        revision: Of this Snapshot, in this process.
        limits: Bounds of what is analysed.
    """

    def __init__(
        self, snapshot: Snapshot, readers: Iterable[Reader] = (), revision: int = 1,
        limits: CatalogueLimits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.snapshot, self._revision, self._limits = snapshot, revision, limits
        self._readers = {(reader.function, reader.definition) for reader in readers}
        self._functions = {one.oid: one for one in snapshot.functions}
        self._builtins = {one.oid: one for one in snapshot.builtins}
        self._types = {one.oid: one for one in snapshot.types}
        self._by_name: dict[str, list[Function]] = defaultdict(list)
        self._operators: dict[str, list[Operator]] = defaultdict(list)
        self._types_by_name: dict[str, list[Type]] = defaultdict(list)
        self._relations: dict[str, list[Relation]] = defaultdict(list)
        for function in snapshot.functions:
            self._by_name[function.name].append(function)
        for operator in snapshot.operators:
            self._operators[operator.name].append(operator)
        for kind in snapshot.types:
            self._types_by_name[kind.name].append(kind)
        for relation in snapshot.relations:
            self._relations[relation.name].append(relation)
        self._casts: dict[int, list[int]] = defaultdict(list)
        for cast in snapshot.casts:
            for end in {cast.source, cast.target}:
                self._casts[end if end >= FIRST_USER_OID else 0].append(cast.function)
        # Casts of which an end is a user's type belong to that type alone.
        self._anywhere = [c.function for c in snapshot.casts if max(c.source, c.target) < FIRST_USER_OID]
        self._memo: dict[tuple[str, int, Path], Reading] = {}
        self._depth = 0
        self._bodies = 0

    @property
    def revision(self) -> int:
        """See Known."""
        return self._revision

    def everywhere(self, path: Path) -> str:
        """See Known."""
        why = self._all(self._anywhere, path, bound=True).why_not
        return f"casts between built-in types run code: {why}" if why else ""

    def call(self, schema: str, name: str, path: Path, run: Path | None = None) -> Reading | None:
        """See Known; `run` is the path that bodies run in where it is not the one that names are looked up in."""
        run = path if run is None else run
        found = [one for one in self._by_name.get(name, ()) if _within(one.schema, schema, path)]
        return _worst([self._function(one.oid, run) for one in found]) if found else None

    def field(self, name: str, path: Path, run: Path | None = None) -> Reading | None:
        """See Known, and `call`."""
        run = path if run is None else run
        named = [one for one in self._by_name.get(name, ()) if one.takes_row and one.required <= 1]
        found = [one for one in named if _within(one.schema, "", path)]
        return _worst([self._function(one.oid, run) for one in found]) if found else None

    def operator(self, schema: str, name: str, path: Path, run: Path | None = None) -> Reading | None:
        """See Known, and `call`."""
        run = path if run is None else run
        found = [one for one in self._operators.get(name, ()) if _within(one.schema, schema, path)]
        return _worst([self._function(one.function, run, bound=True) for one in found]) if found else None

    def type(self, schema: str, name: str, path: Path, run: Path | None = None) -> Reading | None:
        """See Known, and `call`."""
        run = path if run is None else run
        found = [one for one in self._types_by_name.get(name, ()) if _within(one.schema, schema, path)]
        return _worst([self._type(one.oid, run) for one in found]) if found else None

    def relation(self, schema: str, name: str, path: Path, run: Path | None = None) -> str:
        """See Known, and `call`."""
        run = path if run is None else run
        for one in self._relations.get(name, ()):
            if _within(one.schema, schema, path):
                why = self._relation(one, run).why_not
                if why:
                    return f"{visible(one.schema)}.{visible(one.name)} {why}"
        return ""

    def _relation(self, one: Relation, path: Path) -> Reading:
        return self._remember("r", one.oid, path, lambda: self._look_at_relation(one, path))

    def _remember(self, kind: str, oid: int, path: Path, look: Callable[[], Reading]) -> Reading:
        """What `look` says, once; a thing that stands in itself is not known to read."""
        key = (kind, oid, path)
        found = self._memo.get(key)
        if found is not None:
            return found
        if self._depth >= self._limits.depth:
            # Not remembered: seen from less deep, it may be known.
            return Reading("is nested too deeply to be judged")
        self._memo[key] = Reading("calls itself")
        self._depth += 1
        try:
            found = look()
        except BaseException:
            del self._memo[key]
            raise
        finally:
            self._depth -= 1
        self._memo[key] = found
        return found

    def _function(self, oid: int, path: Path, *, bound: bool = False) -> Reading:
        """A function by its id; `bound`: it is called by way of an operator, a cast or a comparison."""
        function = self._functions.get(oid)
        if function is None:
            return self._builtin(oid)
        if bound and function.language in ("c", "internal") and function.extension and _calm(function):
            return _FINE
        return self._remember("f", oid, path, lambda: self._look_at_function(function, path))

    def _builtin(self, oid: int) -> Reading:
        found = self._builtins.get(oid)
        if found is None:
            return Reading("calls a function that nobody knows")
        mark = found.name in builtins.READERS or (found.name not in builtins.FUNCTIONS and found.volatility != "v")
        return _FINE if mark else Reading(f"calls {found.name}, which is no proven reader")

    def _look_at_function(self, one: Function, path: Path) -> Reading:
        spelled = visible(f"{one.schema}.{one.name}")
        if one.definition and (f"{one.schema}.{one.name}({one.arguments})", one.definition) in self._readers:
            itself = ObjectRef(ObjectKind.FUNCTION, f"{one.schema}.{one.name}")
            return Reading(accesses=(Access(itself, Effect.READ),))
        for kind in one.types:
            why = self._type(kind, path).why_not
            if why:
                return Reading(f"{spelled} takes or gives values of which {why}")
        defaults = self._expressions([one.defaults] if one.defaults else [], path)
        if not defaults.proven:
            return Reading(f"{spelled} has a default that {defaults.why_not}")
        if one.kind == "a":
            return self._all(one.parts, path, spelled=spelled)
        if one.kind not in "fw" or one.security_definer or builtins.ESCAPING_EXTENSIONS.match(one.name):
            return Reading(f"{spelled} isn't known to read only")
        if one.language == "c":
            library = one.library.rpartition("/")[2].removesuffix(".so")
            known = (library in LIBRARIES and one.volatility != "v") or (library, one.name) in LIBRARY_READERS
            return _FINE if known else Reading(f"{spelled} is code of an extension that nobody reviewed")
        if one.language != "sql" or one.volatility == "v":
            return Reading(f"{spelled} isn't known to read only")
        return self._body(one, spelled, path, defaults.accesses)

    def _body(self, one: Function, spelled: str, path: Path, more: tuple[Access, ...]) -> Reading:
        """What a body in SQL does, in the path that it will run in."""
        for setting in one.settings:
            name, _, value = setting.partition("=")
            if name.lower() == "search_path":
                path = _schemas(value)
            elif name.lower() not in HARMLESS:
                return Reading(f"{spelled} changes the setting {visible(name)}")
        text = one.body if one.standard_body is None else _plain(one.standard_body)
        if text is None:
            return Reading(f"{spelled} has a body that can't be judged")
        found = self._text(text, path) if one.standard_body is None else self._spelled(text, path)
        if not found.proven:
            return Reading(f"{spelled}: {found.why_not}")
        return Reading(accesses=(*more, *found.accesses))

    def _spelled(self, text: str, path: Path) -> Reading:
        """A text that the server spelled, with each name of users' qualified; what it calls runs in `path`."""
        return self._text(text, _SPELLED, _Spelled(self, path))

    def _text(self, text: str, path: Path, known: Known | None = None) -> Reading:
        self._bodies += 1
        if self._bodies > self._limits.bodies or len(text) > self._limits.definition_bytes:
            return Reading("is too long to be judged")
        verdict = classify_sql(text.encode("utf-8", "replace"), path, known=known or self)
        found = verdict.classification
        if verdict.is_read and not verdict.actions and not verdict.empty and found.kind in _QUERIES:
            return Reading(accesses=tuple(one for one in found.accesses if one.object != DATABASE))
        return Reading(found.reasons[0] if found.reasons else "isn't known to read only")

    def _expressions(self, texts: Iterable[str], path: Path) -> Reading:
        accesses: list[Access] = []
        for text in texts:
            found = self._spelled(f"SELECT {text}", path)
            if not found.proven:
                return found
            accesses += found.accesses
        return Reading(accesses=tuple(accesses))

    def _all(self, oids: Iterable[int], path: Path, *, spelled: str = "", bound: bool = False) -> Reading:
        accesses: list[Access] = []
        for oid in oids:
            found = self._function(oid, path, bound=bound)
            if not found.proven:
                return Reading(f"{spelled}: {found.why_not}" if spelled else found.why_not)
            accesses += found.accesses
        return Reading(accesses=tuple(accesses))

    def _type(self, oid: int, path: Path) -> Reading:
        kind = self._types.get(oid)
        if kind is None:
            # The server's own, or a table's row type: what its columns are is looked at where the table is.
            return _FINE
        return self._remember("t", oid, path, lambda: self._look_at_type(kind, path))

    def _look_at_type(self, kind: Type, path: Path) -> Reading:
        spelled = visible(f"{kind.schema}.{kind.name}")
        bound = self._all((*self._casts.get(kind.oid, ()), *kind.support), path, bound=True)
        # VALUE stands for the value in a domain's check; to the parser it is a column.
        checks = self._expressions(kind.checks, path)
        why = bound.why_not or checks.why_not
        for part in kind.parts:
            why = why or self._type(part, path).why_not
        return Reading(f"the type {spelled} runs code: {why}") if why else _FINE

    def _look_at_relation(self, one: Relation, path: Path) -> Reading:
        if one.foreign:
            return Reading("is a foreign table, or has one below it")
        if one.kind == "v":
            found = self._spelled(one.definition, path) if one.definition else Reading("is too long to be judged")
            if not found.proven:
                return Reading(f"isn't known to read only: {found.why_not}")
        for found in (self._expressions(one.expressions, path), self._all(one.functions, path, bound=True)):
            if not found.proven:
                return Reading(f"isn't known to read only: {found.why_not}")
        for kind in one.types:
            why = self._type(kind, path).why_not
            if why:
                return Reading(f"has columns of which {why}")
        return _FINE


class _Spelled:
    """Known, of a text that the server spelled: names without a schema are the server's own."""

    __slots__ = ("_catalogue", "_run")

    def __init__(self, catalogue: Catalogue, run: Path) -> None:
        self._catalogue, self._run = catalogue, run

    @property
    def revision(self) -> int:
        return self._catalogue.revision

    def everywhere(self, path: Path) -> str:
        return self._catalogue.everywhere(self._run)

    def call(self, schema: str, name: str, path: Path) -> Reading | None:
        return self._catalogue.call(schema, name, path, self._run)

    def field(self, name: str, path: Path) -> Reading | None:
        # Column notation is spelled as a call by the server.
        return None

    def operator(self, schema: str, name: str, path: Path) -> Reading | None:
        return self._catalogue.operator(schema, name, path, self._run)

    def type(self, schema: str, name: str, path: Path) -> Reading | None:
        return self._catalogue.type(schema, name, path, self._run)

    def relation(self, schema: str, name: str, path: Path) -> str:
        return self._catalogue.relation(schema, name, path, self._run)


_SPELLED: Final = ("pg_catalog",)
_QUERIES: Final = frozenset({"SELECT"})


def _within(found: str, schema: str, path: Path) -> bool:
    return found == schema if schema else not path or found in path or found == "pg_catalog"


def _calm(one: Function) -> bool:
    return one.volatility != "v" and not builtins.ESCAPING_EXTENSIONS.match(one.name)


def _worst(found: list[Reading]) -> Reading:
    bad = next((one for one in found if not one.proven), None)
    return bad or Reading(accesses=tuple(access for one in found for access in one.accesses))


def _schemas(value: str) -> Path:
    """The schemas of a function's own search_path; none that is known where the setting holds `$user`."""
    names = [part.strip().strip('"') for part in value.split(",")]
    return () if "$user" in names else tuple(name for name in names if name)


def _plain(body: str) -> str | None:
    """A body in SQL's standard form as a text of its statements; None for a form that is not known."""
    text = body.strip()
    if text.upper().startswith("RETURN "):
        return "SELECT " + text[len("RETURN ") :]
    if text.upper().startswith("BEGIN ATOMIC") and text.upper().endswith("END"):
        return text[len("BEGIN ATOMIC") : -len("END")]
    return None
