"""Files that are put in place whole, on file systems that refuse a part of it."""

import errno
import os
import stat

import pytest

from labkit.machine import files


def refuse(monkeypatch, folders, number):
    real = os.fsync

    def fsync(descriptor):
        number_of_file = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if stat.S_ISDIR(os.fstat(number_of_file).st_mode) is folders:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_a_file_system_that_writes_no_folder_on_demand_is_passed_over(
    tmp_path, monkeypatch, number
):
    """CIFS, sshfs, VirtualBox: the file itself is there and whole by then."""
    refuse(monkeypatch, True, number)
    assert files.write_text(tmp_path / "a", "good").read_text() == "good"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_cannot_be_written_to_the_disk_is_not_put_in_place(tmp_path, monkeypatch):
    files.write_text(tmp_path / "a", "old")
    refuse(monkeypatch, False, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        files.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
