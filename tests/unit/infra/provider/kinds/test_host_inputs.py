"""Inputs of a Host: each bad field is one failure, and what is unknown is not judged."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from infra.provider.kinds.host_facts import settled_facts
from infra.provider.kinds.host_inputs import failures, forecast_spec, spec_of
from infra.provider.wire import UNKNOWN, Properties, secret
from infra.spec import BinarySource, K3sSpec
from tests.support.specs import host_spec

K3S = K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="file:///opt/k3s"))


def inputs(**changes: object) -> Properties:
    given: Properties = json.loads(host_spec(k3s=K3S).to_json())
    return {**given, "privateKey": secret(given["privateKey"]), "drift": [], "deployDigest": "d", **changes}  # type: ignore[dict-item]


def test_good_inputs_have_no_failure_and_make_the_spec() -> None:
    assert failures(inputs()) == ()
    assert spec_of(inputs()) == host_spec(k3s=K3S)


def test_each_bad_field_is_one_failure_with_its_path() -> None:
    bad = inputs(port=0, name="GPU", base={"files": [{"path": "relative", "content": "x"}]})
    assert {failure.property for failure in failures(bad)} == {"port", "name", "base.files[0].path"}


def test_a_failure_does_not_show_the_secret() -> None:
    (failure,) = failures(inputs(privateKey=secret(["marker"])))
    assert failure.property == "privateKey"
    assert "marker" not in failure.reason


def test_unknown_inputs_are_not_judged() -> None:
    unknown: Properties = {"host": UNKNOWN, "port": UNKNOWN, "privateKey": secret(UNKNOWN)}
    assert failures(inputs(**unknown)) == ()


def test_a_forecast_leaves_out_images_that_are_not_built_yet() -> None:
    images = [{"reference": "localhost/a:1", "path": UNKNOWN}]
    spec, left_out = forecast_spec(inputs(images=images))
    assert spec == host_spec(k3s=K3S)
    assert left_out == ("images",)


def test_without_an_address_there_is_no_forecast() -> None:
    assert forecast_spec(inputs(host=UNKNOWN)) == (None, ())


@given(old=st.integers(0, 2000), new=st.integers(0, 2000))
def test_free_space_stays_as_known_until_it_moves_much(old: int, new: int) -> None:
    seen = settled_facts({"rootFreeGib": old}, {"rootFreeGib": new, "cores": 4})
    moved_much = abs(new - old) > max(5, old * 0.1)
    assert seen == {"rootFreeGib": new if moved_much else old, "cores": 4}


def test_first_facts_are_taken_as_they_are() -> None:
    assert settled_facts(None, {"rootFreeGib": 7}) == {"rootFreeGib": 7}
