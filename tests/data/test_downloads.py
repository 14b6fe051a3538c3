"""Addresses and hashes of a download; what becomes of a whole one is proved in test_fetched."""

import pytest

from companion.data.downloads import WrongBytesError, check, request, sha256_of, shown


@pytest.mark.parametrize("address", ["ftp://example.org/file", "data:,x", "file.whl"])
def test_another_scheme_is_refused(address):
    with pytest.raises(ValueError, match="must begin with http, https, file; got"):
        request(address)


def test_an_address_is_shown_without_its_password():
    assert shown("https://me:secret@mirror.example:8080/simple/") == "https://mirror.example:8080/simple/"


def test_a_file_of_the_right_length_and_another_hash_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    check(path, 3, sha256_of(path), "the file")
    with pytest.raises(WrongBytesError, match="the file has the SHA-256 ba7816bf.*, not 0; it is not used"):
        check(path, 3, "0", "the file")
