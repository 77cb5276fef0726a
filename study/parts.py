"""A table that only grows, as a folder of parquet parts that survives a killed writer.

A part is written aside and renamed, so it is whole or absent. Its name is the range of numbers that it holds,
`00000003-00000007.parquet`: compaction writes one part for a range and then deletes what lies inside it, and whoever
reads in between ignores a part that lies inside another.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_NAME = re.compile(r"(\d{8})-(\d{8})\.parquet")
Range = tuple[int, int]
MOST = 10_000_000
"""Records of a file at most: a few bytes can stand for any number of equal ones."""
WHOLE_BYTES = 64_000_000
"""A part of this size is not compacted again: else a table of gigabytes is rewritten for every few hundred records."""


class Parts:
    """The parts in one folder; any number of readers, one writer.

    Args:
        folder: Exists once something was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = max((last for _, last in self._ranges()), default=0)

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write records as one part; they may lack columns that others have."""
        if records:
            names = list(dict.fromkeys(name for record in records for name in record))
            columns = {name: [record.get(name) for record in records] for name in names}
            self._write((self.last + 1, self.last + 1), pa.table(columns))
            self.last += 1

    def read(self) -> tuple[pa.Table, list[str]]:
        """All records in the order of writing, and one sentence about each part that cannot be read."""
        while True:
            try:
                parts = list(self._read_each())
            except FileNotFoundError:
                continue  # compacted since it was listed: its records are in the new listing
            return _together(parts)

    def compact(self) -> None:
        """One part for each run of parts; one of `WHOLE_BYTES`, or that cannot be read, stays as it is."""
        run: list[tuple[Range, pa.Table]] = []
        for numbers, table in [*self._read_each(WHOLE_BYTES), ((0, 0), "")]:
            if isinstance(table, pa.Table):
                run.append((numbers, table))
                continue
            if len(run) > 1:
                whole = (run[0][0][0], run[-1][0][1])
                table, problems = _together(run)
                if not problems:
                    self._write(whole, table)
            run = []
        covering = set(self._ranges())
        for path in self.folder.glob("*.parquet"):
            if (match := _NAME.fullmatch(path.name)) and (int(match[1]), int(match[2])) not in covering:
                path.unlink()

    def __len__(self) -> int:
        """Number of parts that a reader reads."""
        return len(self._ranges())

    def _ranges(self) -> list[Range]:
        """The ranges that no other one contains, in order."""
        names = [_NAME.fullmatch(path.name) for path in self.folder.glob("*.parquet")]
        ranges = sorted({(int(match[1]), -int(match[2])) for match in names if match})
        outermost: list[Range] = []
        for first, negative in ranges:  # of ranges that begin together the longest comes first
            if not outermost or -negative > outermost[-1][1]:
                outermost.append((first, -negative))
        return outermost

    def _read_each(self, below: float = float("inf")) -> Iterator[tuple[Range, pa.Table | str]]:
        for numbers in self._ranges():
            path = self._path(numbers)
            try:
                if path.stat().st_size >= below:
                    yield numbers, f"{path} is not read"
                    continue
                yield numbers, read_table(path)
            except FileNotFoundError:
                raise
            except (OSError, ValueError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                yield numbers, f"{path} cannot be read ({reason}); the other parts are"

    def _write(self, numbers: Range, table: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(numbers)
        aside = path.with_suffix(".aside")
        pq.write_table(table, aside, write_page_checksum=True)
        os.replace(aside, path)

    def _path(self, numbers: Range) -> Path:
        return self.folder / f"{numbers[0]:08d}-{numbers[1]:08d}.parquet"


def read_table(path: Path) -> pa.Table:
    """A parquet file, without what its writer wanted pandas to make of it.

    Raises:
        OSError: It cannot be read.
        pa.ArrowException: It is damaged, or has too many records; a ValueError where it is no parquet.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if file.metadata.num_rows > MOST:
            raise pa.ArrowInvalid(f"it has {file.metadata.num_rows:,} records, over {MOST:,}")
        return file.read().replace_schema_metadata(None)


def _together(parts: list[tuple[Range, pa.Table | str]]) -> tuple[pa.Table, list[str]]:
    """The readable parts as one table, and the problems of the others."""
    tables: list[pa.Table] = []
    problems: list[str] = []
    schema = pa.schema([])
    for numbers, table in parts:
        if isinstance(table, str):
            problems.append(table)
            continue
        try:
            schema = pa.unify_schemas([schema, table.schema], promote_options="permissive")
            tables.append(table)
        except pa.ArrowException as error:
            problems.append(f"part {numbers[0]} has a column of another type ({error}); the other parts are read")
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({}), problems
