import gzip
import json
import os
import zlib
from pathlib import Path

from toolkit.model.errors import DataError


def data_file(relative: str) -> Path | None:
    """Path of a recorded file below TOOLKIT_DATA (default `../shared/data`), None if absent."""
    path = Path(os.environ.get("TOOLKIT_DATA") or "../shared/data") / relative
    return path if path.is_file() else None


def read_gzip(path: Path) -> str:
    """The text of a gzip file.

    Raises:
        DataError: truncated, damaged, unreadable, or not UTF-8; names the file.
    """
    try:
        return gzip.decompress(path.read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged or truncated ({error}); fetch it again") from None


def read_gzip_json(path: Path) -> object:
    """The JSON document in a gzip file.

    Raises:
        DataError: as `read_gzip`, or not JSON; names file and line.
    """
    text = read_gzip(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); fetch it again") from None
