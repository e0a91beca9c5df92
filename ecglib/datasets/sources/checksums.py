"""The checksums that are published beside the files of a database."""

import hashlib
from pathlib import Path

from ecglib.datasets.sources.download import SUMS, parse_sums
from ecglib.errors import DatasetError, RecordError


class Checksums:
    """The list ``SHA256SUMS.txt`` of a folder; without one, every file is accepted.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    DatasetError
        If there is a list that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.atr").write_bytes(b"cut shor")
    ...     _ = Path(folder, "SHA256SUMS.txt").write_text(f"{64 * '0'} a.atr\\n")
    ...     try:
    ...         Checksums(Path(folder)).check_file("a.atr")
    ...     except RecordError as error:
    ...         print(error.kind)
    wrong_checksum
    """

    def __init__(self, folder: Path):
        self._folder = folder
        path = folder / SUMS
        self._sums: dict[str, str] = {}
        if path.is_file():
            try:
                self._sums = parse_sums(path.read_text("utf-8", errors="replace"))
            except (OSError, DatasetError) as error:
                raise DatasetError(f"{path} cannot be used: {error}") from None

    def check_file(self, name: str) -> None:
        """Check the content of a file that is in the list.

        Parameters
        ----------
        name : str
            Path of the file from the folder.

        Raises
        ------
        RecordError
            If the file is missing or its content is not the published one.
        """
        if (expected := self._sums.get(name)) is None:
            return
        path = self._folder / name
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RecordError(
                "missing_file", f"{path} cannot be read: {error}. Download it again."
            ) from None
        if found != expected:
            raise RecordError(
                "wrong_checksum",
                f"{path} is not the file that {SUMS} lists: it was changed or cut short. Download "
                f"it again, or remove the list if you changed it yourself.",
            )
