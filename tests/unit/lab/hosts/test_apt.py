"""Lab hosts take their packages from where the machine takes its own."""

from __future__ import annotations

import pytest

from lab.hosts import apt

INDEXES = """\
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/debian/ bookworm-updates main
https://security.example/debian-security/ bookworm-security main
https://vendor.example/apt/ cloud-sdk-bookworm main
http://mirror.example/debian/ bookworm main
"""


def test_the_release_is_taken_and_foreign_archives_are_not() -> None:
    configuration = apt.parse("bookworm", INDEXES)
    assert configuration.mirror == "http://mirror.example/debian"
    assert configuration.sources_list == (
        "deb http://mirror.example/debian bookworm main contrib\n"
        "deb http://mirror.example/debian bookworm-updates main\n"
        "deb https://security.example/debian-security bookworm-security main\n"
    )
    assert configuration.proxy_settings == ""


def test_the_proxy_of_the_machine_is_the_proxy_of_its_hosts() -> None:
    dump = 'Acquire::http::Proxy "http://proxy.example:3142";\nAcquire::https::Proxy::other "DIRECT";\n'
    configuration = apt.parse("bookworm", INDEXES, dump)
    assert 'Acquire::http::Proxy "http://proxy.example:3142";' in configuration.proxy_settings


def test_a_machine_without_an_archive_of_its_release_is_told_so() -> None:
    with pytest.raises(RuntimeError, match=r"no archive of trixie.*sources\.list"):
        apt.parse("trixie", INDEXES)
