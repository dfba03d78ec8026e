"""Long work as jobs: begun, asked about, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

import labelog
from labelog.progress import Progress
from labelog_server import operations
from labelog_server.access import Annotates, Reads, Sent, Writer
from labelog_server.asked import Called, Key, Name, Served
from labelog_server.editing import carried_out
from labelog_server.facts import in_parts, like
from labelog_server.jobs import Job, Jobs
from labelog_server.problems import Problem
from labelog_server.tokens import Role
from labelog_server.wire import Corners, Label

router = APIRouter(prefix="/api/v1", tags=["jobs"])

MOST_ROWS = 100_000  # components that an answer lists


class Work(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def run(self, volume: labelog.Volume, progress: Progress) -> Any:
        raise NotImplementedError


class Check(Work):
    """Verify everything that is stored."""

    model_config = like({"do": "check"})
    do: Literal["check"]

    def run(self, volume: labelog.Volume, progress: Progress) -> Any:
        report = volume.check(progress)
        return {"ok": report.ok, "problems": report.problems, "revisions": report.revisions, "chunks": report.chunks,
                "deltas": report.deltas}  # fmt: skip


class Compact(Work):
    """Fold all deltas into the base."""

    model_config = like({"do": "compact"})
    do: Literal["compact"]

    def run(self, volume: labelog.Volume, progress: Progress) -> Any:
        return {"folded": volume.compact(progress)}


class FindComponents(Work):
    """List the connected components of equal values of a view."""

    model_config = like({"do": "components", "class": "mitochondrion", "connectivity": 26, "at_least": 100})
    do: Literal["components"]
    view: str = "instance"
    rev: int | None = Field(None, ge=0)
    cls: str | None = Field(None, alias="class", description="only of this class, or of a kind of it")
    labels: list[Label] | None = Field(None, description="only of these values", max_length=100_000)
    within: Corners | None = None
    connectivity: Literal[6, 18, 26] = 6
    at_least: int = Field(0, ge=0, description="list only those of so many voxels")

    def run(self, volume: labelog.Volume, progress: Progress) -> Any:
        seen = volume.at(self.rev).view(self.view)
        found = seen.components(cls=self.cls, labels=self.labels, within=self.within, connectivity=self.connectivity,
                                progress=progress)  # fmt: skip
        rows = [row for row in found.table_rows() if row["voxels"] >= self.at_least] if found.count else []
        if len(rows) > MOST_ROWS:
            raise labelog.Invalid(f"a job lists {MOST_ROWS} components; these are {len(rows)}: ask for at_least more")
        return {"revision": seen.revision, "count": found.count,
                "components": [{**row, "label": str(row["label"])} for row in rows]}  # fmt: skip


class FindProblems(Work):
    """List what is wrong with objects: empty, in several pieces, without class, or where their class may not lie."""

    model_config = like({"do": "problems", "connectivity": 26})
    do: Literal["problems"]
    rev: int | None = Field(None, ge=0)
    region: str | None = Field(None, description="only objects with voxels in the bounds of this region")
    connectivity: Literal[6, 18, 26] = 6

    def run(self, volume: labelog.Volume, progress: Progress) -> Any:
        snapshot = volume.at(self.rev)
        found = snapshot.labels.problems(region=self.region, connectivity=self.connectivity, progress=progress)
        return {"revision": snapshot.revision,
                "problems": [{**each._asdict(), "label": str(each.label)} for each in found]}  # fmt: skip


class Edits(Work):
    """Carry out an edit that takes long, such as a fill or a relabelling: what `POST edits` takes, and answers."""

    model_config = like({
        "do": "edit",
        "edit": {
            "message": "background of a corner",
            "operations": [{"op": "fill", "seed": [0, 0, 0], "label": "9", "within": [[0, 0, 0], [16, 256, 256]]}],
        },
    })  # fmt: skip
    do: Literal["edit"]
    edit: operations.Request


AnyWork = Annotated[Check | Compact | FindComponents | FindProblems | Edits, Field(discriminator="do")]


async def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.jobs
    return found


All = Annotated[Jobs, Depends(_jobs)]


@router.post("/volumes/{name}/jobs", status_code=202, dependencies=[Annotates], openapi_extra=in_parts("Edits"))
def post_job(name: Name, work: AnyWork, response: Response, volume: Served, jobs: All, author: Writer, called: Called,
             http: Request, key: Key = None) -> dict[str, Any]:  # fmt: skip
    """Begin some long work; `Location` is where to ask about it.

    An edit with arrays beside it is sent as multipart/related, as to `POST edits`.
    """
    run: Callable[[Progress], Any]
    if isinstance(work, Edits):
        edit = work.edit

        def run(progress: Progress) -> Any:
            called.progress = progress
            return carried_out(name, edit, volume, author, called, key, http.app.state.trials)
    else:

        def run(progress: Progress) -> Any:
            return work.run(volume, progress)

    job = jobs.begin(name, work.do, author, run)
    response.headers["Location"] = f"/api/v1/volumes/{name}/jobs/{job.id}"
    return told(job)


@router.get("/volumes/{name}/jobs", dependencies=[Reads])
def list_jobs(name: Name, volume: Served, jobs: All) -> dict[str, Any]:
    """The jobs of a volume, oldest first; those that are over as long as they are remembered."""
    del volume
    return {"jobs": [told(job) for job in jobs.all() if job.volume == name]}


@router.get("/jobs", dependencies=[Reads])
def list_all_jobs(jobs: All, token: Sent) -> dict[str, Any]:
    """The jobs of all volumes."""
    return {"jobs": [told(job) for job in jobs.all() if token is None or token.good_for(job.volume)]}


@router.get("/volumes/{name}/jobs/{job}", dependencies=[Reads])
def get_job(name: Name, job: str, jobs: All) -> dict[str, Any]:
    """How far a job is, or what came of it."""
    found = jobs.find(name, job)
    return told(found) | {"result": found.result, "problem": found.problem}


@router.delete("/volumes/{name}/jobs/{job}", status_code=202, dependencies=[Annotates])
def cancel_job(name: Name, job: str, jobs: All, token: Sent, author: Writer) -> dict[str, Any]:
    """Cancel a job of one's own, or as a reviewer anybody's: it ends where it can stop, with nothing half done."""
    found = jobs.find(name, job)
    if token is not None and token.level < Role.REVIEW and found.author != author:
        raise Problem(403, f"the job is by {found.author}; to cancel others' takes the role review")
    jobs.cancel(job)
    return told(jobs.find(name, job))


def told(job: Job) -> dict[str, Any]:
    return {"id": job.id, "volume": job.volume, "do": job.do, "author": job.author, "state": job.state,
            "done": job.done, "total": job.total, "cancelling": job.cancelling, "time": job.time}  # fmt: skip
