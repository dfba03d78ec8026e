"""Verifies a whole volume: every byte that a read could depend on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelog.engine.check_bodies import check_bodies
from labelog.engine.check_table import check_facts, haunted
from labelog.engine.store import Store
from labelog.errors import LabelogError
from labelog.kernels import spans
from labelog.kernels.extents import changed, counted, encode
from labelog.progress import Progress
from labelog.storage.commits import Reader
from labelog.storage.facts import Pieces, pieces
from labelog.storage.journal import digest, link
from labelog.storage.meta import Meta
from labelog.storage.parcels import REVISION


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    problems : one sentence each, naming the file, chunk or revision.
    revisions, chunks, deltas : how many were verified.
    """

    problems: list[str] = field(default_factory=list)
    revisions: int = 0
    chunks: int = 0
    deltas: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @contextmanager
    def noting(self, place: str) -> Iterator[None]:
        """What is raised inside is a problem, not the end of the check."""
        try:
            yield
        except LabelogError as error:
            self.problems.append(str(error) if place in str(error) else f"{place}: {error}")


def check(store: Store, progress: Progress | None = None) -> Report:
    """Verify a volume. What is committed meanwhile is left for another time."""
    report = Report()
    upto = store.head()
    with report.noting("labelog.json"):
        Meta.read(store.folder)
    for path, expected in store.base.documents().items():
        if not path.exists() or path.read_bytes() != expected:
            report.problems.append(f"{path} is missing or is not as it was written")
    with report.noting("head"):
        _check_head(store, report)
    with report.noting("journal"):
        with store.journal.reading() as journal:
            noted = haunted(journal)
        chunks = _check_journal(store, report, upto)
        for path in store.base.stray():
            report.problems.append(f"{path} does not belong to the volume")
        for done, chunk in enumerate(chunks):
            with report.noting(f"chunk {store.grid.index(chunk)}"):
                _check_chunk(store, report, chunk, upto, noted.pop(chunk, set()))
            if progress:
                progress(done + 1, len(chunks))
        for chunk in noted:
            report.problems.append(
                str(store.damaged(chunk, "labels noted to have been in it, which was never written"))
            )
    _check_pyramid(store, report, upto)
    return report


def _check_head(store: Store, report: Report) -> None:
    slots = store.journal.head_slots()
    if not slots:
        report.problems.append(f"the head file of {store.folder} is missing")
    with store.journal.reading() as journal:
        for number, slot in enumerate(slots):
            if slot is None:
                report.problems.append(f"slot {number} of the head file is damaged")
            elif slot.revision >= 0 and journal.chain(slot.revision) != slot.hash:
                report.problems.append(f"the journal has lost revision {slot.revision}, which the head file names")


def _check_journal(store: Store, report: Report, upto: int) -> list[int]:
    """All pages, the hash chain, the live set; the chunks to look at."""
    with store.journal.reading() as journal:
        for (line,) in journal.rows("PRAGMA integrity_check"):
            if line != "ok":
                report.problems.append(f"journal: {line}")
        before = store.meta.key
        for revision in range(upto + 1):
            record = journal.record(revision)
            if record is None:
                report.problems.append(f"revision {revision} is missing")
                break
            digests = [_digest(journal, chunk, revision) for chunk in record.chunks]
            chain = link(before, record, digests, journal.facts_by(revision))
            if chain != journal.chain(revision):
                report.problems.append(f"revision {revision} is not as it was committed: its hash does not hold")
            before = journal.chain(revision) or chain
            report.revisions += 1
        with journal.still():
            _check_live(journal, report)
            check_facts(journal, upto, report.problems.append)
            check_bodies(journal, upto, report.problems.append)
        for chunk, revision in journal.rows(f"SELECT chunk, {REVISION} AS made FROM deltas t WHERE made NOT IN "
                                            "(SELECT revision FROM edits)"):  # fmt: skip
            report.problems.append(str(store.damaged(chunk, f"a delta of it belongs to no commit ({revision})")))
        for table, known in (("facts", "edits"), ("members", "facts"), ("clusters", "facts"), ("extents", "edits"),
                             ("parcels", "edits")):  # fmt: skip
            for (revision,) in journal.rows(f"SELECT DISTINCT revision FROM {table} WHERE revision NOT IN "
                                            f"(SELECT revision FROM {known})"):  # fmt: skip
                report.problems.append(f"rows of {table} belong to no commit that can have made them ({revision})")
        counted_in = journal.chunks_of("extents")
        present = set(journal.chunks()) | set(store.base.present())
        for chunk in counted_in:
            if chunk not in present:
                report.problems.append(str(store.damaged(chunk, "labels counted in it, which was never written")))
        return sorted(present)


def _digest(journal: Reader, chunk: int, revision: int) -> bytes:
    """That of a delta; of nothing if it is missing."""
    return digest(journal.delta(chunk, revision) or b"")


def _check_live(journal: Reader, report: Report) -> None:
    """The live set follows from who takes out what."""
    dead: set[int] = set()
    for revision in range(journal.head(), 0, -1):
        if any(taker not in dead for taker in journal.takers(revision)):
            dead.add(revision)
        if (revision in dead) == journal.is_live(revision):
            report.problems.append(f"revision {revision} {'should' if revision not in dead else 'must not'} be live")


def _check_chunk(store: Store, report: Report, chunk: int, upto: int, noted: set[int]) -> None:
    """The chunk's deltas follow from one another; base and keepsakes are what they lead to; so is the live set; and
    the extents of labels are as the voxels say. `noted` are the labels that were in it ever."""
    with store.journal.reading() as journal:
        manifest = journal.manifest(chunk)
        stored = store.stored(chunk)
        if manifest and (stored.revision, stored.crc) != manifest and stored.revision <= manifest[0]:
            raise store.damaged(chunk, f"its file has revision {stored.revision} and CRC {stored.crc:08x}, "
                                       f"the manifest revision {manifest[0]} and CRC {manifest[1]:08x}")  # fmt: skip
        kept = journal.rows("SELECT revision, data FROM kept WHERE chunk = ?", chunk)
        whole = {revision: store.kept(chunk, revision, data).runs for revision, data in kept}
        whole[stored.revision] = stored.runs
        tables = _tables(journal, chunk)
        ground = store.runs(chunk, 0)
        runs = replayed = ground
        edits = {}
        loaded = counted(ground)
        met = {*loaded.labels.tolist()}
        _check_extents(store, chunk, 0, pieces(loaded) if len(loaded) else None, tables.pop(0, None))
        for revision, data in journal.deltas(chunk, 0, upto):
            delta = store.delta(chunk, revision, data)
            if spans.diff(runs, delta.new) != delta:
                raise store.damaged(chunk, f"its delta at revision {revision} does not follow from what was before")
            runs = spans.apply(runs, delta.new)
            edits[revision] = delta
            met.update(delta.new.value.tolist())
            told = journal.changed_extents(chunk, revision)
            _check_extents(store, chunk, revision, encode(changed(delta, runs)), told)
            if revision in tables:
                _check_extents(store, chunk, revision, pieces(counted(runs)), tables.pop(revision))
            if revision in whole and whole[revision] != runs:
                raise store.damaged(chunk, f"what is stored of revision {revision} is not what the deltas lead to")
            report.deltas += 1
        for revision in sorted(made for made in tables if made <= upto):
            _check_extents(store, chunk, revision, None, tables[revision])
        if met - {0} != noted and journal.head() == upto:
            raise store.damaged(chunk, "the labels noted to have been in it are not those that were")
        for revision in sorted(revision for revision, _ in journal.live_edits(chunk)):
            if revision in edits:
                replayed = spans.apply(replayed, edits[revision].new)
        if replayed != runs and journal.head() == upto:
            raise store.damaged(chunk, "its labels are not what the live edits made")
        report.chunks += 1


def _check_pyramid(store: Store, report: Report, upto: int) -> None:
    """What is kept of coarser scales is what the finer ones lead to, finest first."""
    scales = store.scales
    for path in scales.pyramid.stray():
        report.problems.append(f"{path} does not belong to the volume")
    for scale, chunk in scales.pyramid.present():
        place = f"scale {scale.number}"
        with report.noting(place):
            found = scales.pyramid.read(scale, chunk)
            if found is None or found[0].revision > upto or scales.mark(found[0].revision) != found[0]:
                continue  # committed meanwhile, or of a history that this is not: it is not used
            (revision, _), runs = found
            if scales.made(scale.number, chunk, revision) != runs:
                where = f"{scales.pyramid.path(scale, chunk)} at revision {revision}"
                report.problems.append(f"{place}: {where} is not what the finer scale leads to")


def _check_extents(store: Store, chunk: int, revision: int, expected: bytes | Pieces | None,
                   found: bytes | Pieces | None) -> None:  # fmt: skip
    if expected != found:
        raise store.damaged(chunk, f"the labels counted in it at revision {revision} are not those that are there")


def _tables(journal: Reader, chunk: int) -> dict[int, Pieces]:
    """The extents of all labels of a chunk, where they were written, by revision."""
    found: dict[int, Pieces] = defaultdict(list)
    query = "SELECT revision, first, data FROM extents WHERE chunk = ? ORDER BY revision, first"
    for revision, first, data in journal.rows(query, chunk):
        found[revision].append((first, data))
    return dict(found)
