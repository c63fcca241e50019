"""Downloads that survive a bad line, resumed, checked and never half in place; zip files unpacked safely (chapter 5).

What has arrived is in ``NAME.part`` beside the target, and ``NAME.part.json`` says which version of the file that is.
A second attempt asks for the rest of that very version (HTTP Range with If-Range) and starts anew if there is another.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import socket
import ssl
import stat
import time
import zipfile
from http import HTTPStatus
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from tqdm.auto import tqdm

from ites_core.data.archive import PACKED_BY, ZIP_DAMAGE
from ites_core.errors import ItesError
from ites_core.files import alone, in_place

TIMEOUT = 30.0  # seconds without a byte
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt; a byte gained starts the count anew
BLOCK = 1 << 18  # bytes read at once, and at most lost when the line breaks
MAX_UNPACKED = 16 << 30  # bytes; the largest of the catalogue, CMU's, unpacks to a few GiB
MAX_RATIO = 100  # unpacked to packed, of the whole; text of numbers reaches 10
MAX_MEMBERS = 100_000
UNPACK_AGAIN = "make room or choose another folder, and run the same command again"
BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)  # besides all 5xx: may pass, so tried again


class _LineError(Exception):
    """The line broke or the server was busy: worth another attempt."""


class _WebOnly(HTTPRedirectHandler):
    """Follows redirects to http and https only, so that no server makes us read a local file."""

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        _check_scheme(urljoin(req.full_url, headers.get("Location", "")), f"{req.full_url}: redirects to ")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def fetch(
    url: str, target: str | Path, *, sha256: str | None = None, size: int | None = None, progress: bool = True
) -> str:
    """Download one file, continuing an earlier attempt. A target that is already here is checked, not fetched again.

    Without a published checksum the first download's is kept in ``NAME.sha256`` beside the target, and later
    downloads must have the same.

    Args:
        url: http or https.
        target: file to write; its folder is made if needed. It appears only once it is whole and checked.
        sha256: expected checksum, hexadecimal.
        size: expected length in bytes.
        progress: show a progress bar.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        ItesError: another kind of URL, no answer, an answer other than the file, a length or checksum other than
            expected, a target that cannot be written, or that another process fetches now. What was downloaded stays
            in ``NAME.part``, or in ``NAME.wrong``
            if its checksum is wrong.
    """
    _check_scheme(url)
    target = Path(target)
    record = _beside(target, ".sha256")
    try:
        expected = sha256.lower() if sha256 else _recorded(record)
        found = _check_here(target, expected, size)
        if found is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with alone(_beside(target, ".lock"), target):
                found = _check_here(target, expected, size)  # another process may just have finished
                if found is None:
                    part = _beside(target, ".part")
                    _download(url, part, size, progress)
                    found = _digest(part)
                    if expected is not None and found != expected:
                        _put_aside(url, part, found, expected, None if sha256 else record)
                    part.replace(target)
                    _beside(part, ".json").unlink(missing_ok=True)
        if sha256 is None and expected is None:
            with in_place(record) as file:
                file.write_text(f"{found}  {target.name}\n", encoding="utf-8")
            print(f"{target}: SHA-256 {found}, unverified: no checksum is published; kept in {record.name}")
    except OSError as error:
        raise ItesError(
            f"{target}: cannot be written ({error.strerror or error}); make room or choose another folder; "
            "what has been downloaded is kept, and the same command continues it"
        ) from error
    return found


def _put_aside(url: str, part: Path, found: str, expected: str, record: Path | None) -> NoReturn:
    """Keep a download with a wrong checksum under another name, and say so; ``record`` is where ours came from."""
    wrong = part.replace(part.with_suffix(".wrong"))
    _beside(part, ".json").unlink(missing_ok=True)
    source = f"{record} remembers" if record else "expected"
    raise ItesError(
        f"{url}: found SHA-256 {found}, {source} {expected}; kept as {wrong}: fetch it again, and if that "
        "gives the same, ask the publisher whether the file has changed"
        + (f" and delete {record.name}" if record else "")
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _check_scheme(url: str, place: str = "") -> None:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ItesError(f"{place}{url}: expected an address that begins with http:// or https://; refused")


def _recorded(record: Path) -> str | None:
    """The checksum of an earlier download, as ``sha256sum`` writes it; None where there is none."""
    if not record.is_file():
        return None
    text = record.read_text(errors="replace")
    match = re.match(r"[0-9a-f]{64}\b", text)
    if match is None:
        raise ItesError(f"{record}: found {text[:80]!r}, expected a SHA-256 of 64 hexadecimal digits; delete the file")
    return match[0]


def _check_here(target: Path, expected: str | None, size: int | None) -> str | None:
    """Checksum of a target that is already here, None where there is none."""
    if not target.exists():
        return None
    if not target.is_file():
        raise ItesError(f"{target}: found a folder, expected a file or nothing; move it away")
    length, found = target.stat().st_size, _digest(target)
    if (size is not None and length != size) or (expected is not None and found != expected):
        raise ItesError(
            f"{target}: found another file of that name ({length} bytes, SHA-256 {found}), expected "
            f"{'' if size is None else f'{size} bytes, '}SHA-256 {expected or 'unknown'}; move it away and fetch again"
        )
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, part: Path, size: int | None, progress: bool) -> None:
    """Fill the part file, in as many attempts as it takes to get on."""
    opener = build_opener(_WebOnly)
    pauses, furthest = list(PAUSES), -1
    while True:
        try:
            return _attempt(opener, url, part, size, progress)
        except _LineError as error:
            have = part.stat().st_size if part.exists() else 0
            if have > furthest:
                pauses, furthest = list(PAUSES), have
            if not pauses:
                raise ItesError(
                    f"{url}: {error} after {have} bytes, {len(PAUSES) + 1} times at the same place; check the network "
                    "and run the same command again: it continues where it stopped"
                ) from error
            time.sleep(pauses.pop(0))


def _attempt(opener: OpenerDirector, url: str, part: Path, size: int | None, progress: bool) -> None:
    """One request, its body appended to the part file; returns when that is complete."""
    have, version, noted = _state(url, part)
    if noted is not None and have == noted:  # an earlier run was stopped between the last byte and the check
        return
    headers = {"User-Agent": "ites-core", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        response = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            part.unlink()
            raise _LineError("the server no longer has the rest") from error
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in BUSY:
            raise _LineError(f"answer {error.code} {error.reason}") from error
        raise ItesError(
            f"{url}: answer {error.code} {error.reason}, expected the file; it may have moved, see its official page"
        ) from error
    except URLError as error:
        if isinstance(error.reason, socket.gaierror | ssl.SSLCertVerificationError):
            raise ItesError(f"{url}: no connection ({error.reason}); check the address and the network") from error
        raise _LineError(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _LineError(f"no answer ({error or type(error).__name__})") from error
    with response:
        start, total = _extent(response, have)
        if size is not None and total is not None and total != size:
            raise ItesError(
                f"{url}: found a file of {total} bytes, expected {size}; it has changed or the "
                "answer is an error page, see the official page"
            )
        if start and (total != noted or _version(response) not in (version, "")):  # not every server heeds If-Range
            part.unlink()
            raise _LineError("the file has changed")
        if start == 0:
            part.unlink(missing_ok=True)  # before the note: a stop in between must not give old bytes a new version
            _beside(part, ".json").write_text(json.dumps({"url": url, "version": _version(response), "total": total}))
        length = size if total is None else total
        with (
            open(part, "ab", buffering=0) as file,
            tqdm(
                total=length, initial=start, unit="B", unit_scale=True, disable=not progress, desc=part.stem
            ) as progress_bar,
        ):
            have = start
            while block := _read(response):
                have += len(block)
                if length is not None and have > length:
                    raise ItesError(
                        f"{url}: found more than the {length} bytes expected; stopped, see its official page"
                    )
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]  # a raw file may take less than it is given
                progress_bar.update(len(block))
    if length is not None and have < length:
        raise _LineError(f"the connection ended {length - have} bytes early")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _LineError(f"the connection broke ({error or type(error).__name__})") from error


def _state(url: str, part: Path) -> tuple[int, str, int | None]:
    """Bytes of an earlier attempt that can be continued, the version they are of, and the length of the whole."""
    try:
        note = json.loads(_beside(part, ".json").read_text())
        have, version, total = part.stat().st_size, note["version"], note["total"]
        if note["url"] == url and isinstance(version, str) and version and (total is None or have <= int(total)):
            return have, version, total
    except (FileNotFoundError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass  # no earlier attempt, or none that says what it is a part of
    return 0, "", None


def _version(response: http.client.HTTPResponse) -> str:
    """What identifies this version of the file to the server; a weak ETag does not promise the same bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _extent(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """First byte that this answer holds, and the length of the whole file if the server says it."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != have:
            raise ItesError(
                f"{response.url}: found Content-Range {response.headers.get('Content-Range')!r}, expected to continue "
                f"at byte {have}; delete the .part file and fetch again"
            )
        return have, None if span[3] == "*" else int(span[3])
    if response.status != HTTPStatus.OK:
        raise ItesError(f"{response.url}: answer {response.status} {response.reason}, expected the file")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def unpack(archive: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip file, all of it inside a folder or nothing. Files that are already there at full length are kept.

    Args:
        archive: the zip file.
        folder: where to; made if needed.

    Returns:
        The files, in the archive's order.

    Raises:
        ItesError: not a readable zip file, a member that would lie outside the folder, a symlink or other special
            file, more than ``MAX_MEMBERS`` members, more than ``MAX_UNPACKED`` bytes or ``MAX_RATIO`` times the zip's
            own size, a folder that cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            total, packed = sum(m.file_size for m in members), archive.stat().st_size
            if len(members) > MAX_MEMBERS or total > min(MAX_UNPACKED, MAX_RATIO * packed):
                raise ItesError(
                    f"{archive}: found {len(members)} members of {total} bytes in {packed}, expected at most "
                    f"{MAX_MEMBERS} members, {MAX_UNPACKED} bytes and {MAX_RATIO} times its size; nothing was unpacked"
                )
            if any(m.compress_type not in PACKED_BY for m in members):
                raise ItesError(f"{archive}: packed by another method than deflate; refused, nothing was unpacked")
            paths = [_inside(member, folder, archive) for member in members]  # all are checked before any is written
            for member, path in zip(members, paths, strict=True):
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                elif not (path.is_file() and path.stat().st_size == member.file_size):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with in_place(path, UNPACK_AGAIN) as part, file.open(member) as source, part.open("wb") as out:
                        shutil.copyfileobj(source, out, BLOCK)
            return [path for member, path in zip(members, paths, strict=True) if not member.is_dir()]
    except ItesError:
        raise
    except OSError as error:
        raise ItesError(
            f"{error.filename or folder}: cannot be unpacked ({error.strerror or error}); {UNPACK_AGAIN}"
        ) from error
    except ZIP_DAMAGE as error:
        raise ItesError(f"{archive}: not a readable zip file ({error}); delete it and fetch it again") from error


def _inside(member: zipfile.ZipInfo, folder: Path, archive: Path) -> Path:
    """Where a member goes, refused unless it is an ordinary file or folder inside the folder."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    path = folder / name
    if (
        not name
        or PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or "\\" in name
        or ".." in PurePosixPath(name).parts
        or not path.resolve().is_relative_to(folder.resolve())  # through a symlink that is already there
    ):
        raise ItesError(f"{archive}: member {name!r}: expected a path inside the folder; refused, nothing was unpacked")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ItesError(
            f"{archive}: member {name!r}: found a symlink or special file, expected ordinary files; refused, nothing "
            "was unpacked"
        )
    return path
