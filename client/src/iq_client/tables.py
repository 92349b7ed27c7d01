"""Results as tables of other libraries, where these are installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from iq_client.formats import TEXT_COLUMNS, arrow_schema, import_pyarrow, valid_row
from iq_client.results import GROUP_COLUMNS, Group, RankedImage, Score

if TYPE_CHECKING:
    import pandas
    import pyarrow

Results: TypeAlias = Iterable[Score] | Iterable[RankedImage] | Iterable[Group]


def to_arrow(results: Results) -> pyarrow.Table:
    """Results as an Arrow table.

    Args:
        results: Scores, a ranking, or groups.

    Returns:
        Columns `source`, `mean`, `std`, `percentile`, `distribution` (list of ten), `error`
        (`code` and `message`, or null) and `tower`; in front of them `rank` for a ranking, `group`
        (1, 2, …), `kind`, `members` and `rank` for groups, both with `reasons` (list of
        text, or null) behind. They are the columns of the command line's Parquet files.

    Raises:
        ImportError: pyarrow is not installed.
    """
    leading, rows = _rows(results)
    schema = arrow_schema(leading)
    table = import_pyarrow().Table
    return table.from_pylist([valid_row(row) for row in rows], schema=schema)


def to_dataframe(results: Results) -> pandas.DataFrame:
    """Results as a pandas data frame.

    Args:
        results: Scores, a ranking, or groups.

    Returns:
        Columns as in `to_arrow`, with `error_code` and `error_message` instead of `error`; `mean`,
        `std` and `percentile` of an image that failed are NaN, its `distribution` is None.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a data frame needs pandas: pip install pandas") from error
    leading, rows = _rows(results)
    for row in rows:
        failure = row.pop("error") or {"code": None, "message": None}
        row["error_code"], row["error_message"] = failure["code"], failure["message"]
    columns = [
        *leading,
        *("source", "mean", "std", "percentile", "distribution"),
        *("error_code", "error_message", "tower"),
        *(["reasons"] if "rank" in leading else []),
    ]
    frame = pandas.DataFrame(rows, columns=columns)
    # Whole numbers that may be missing: pandas would make floating point of them.
    types = {
        **dict.fromkeys((name for name in leading if name not in TEXT_COLUMNS), "Int64"),
        **dict.fromkeys(("mean", "std", "percentile"), "float64"),
    }
    return frame.astype(types)


def _rows(results: Results) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns in front, and the rows as dictionaries."""
    items: list[Score | RankedImage | Group] = list(results)
    if items and isinstance(items[0], Group):
        rows = [
            {**group.columns(number), **image.to_dict()}  # type: ignore[union-attr]
            for number, group in enumerate(items, start=1)
            for image in group.images  # type: ignore[union-attr]
        ]
        return [*GROUP_COLUMNS, "rank"], rows
    leading = ["rank"] if items and isinstance(items[0], RankedImage) else []
    return leading, [item.to_dict() for item in items]
