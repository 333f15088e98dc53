"""Which machine holds which image."""

from __future__ import annotations

import itertools

from infra.images.names import ImageName, NodeRole, images_built, images_for


def test_a_lab_builds_every_image_and_production_nothing_of_the_lab() -> None:
    assert set(images_built(lab=True)) == set(ImageName)
    assert len(images_built(lab=True)) == len(ImageName)
    assert set(images_built(lab=True)) - set(images_built(lab=False)) == {
        ImageName.PROMETHEUS,
        ImageName.NODE_EXPORTER,
        ImageName.LAB_CHUTE,
    }


def test_what_a_machine_holds_is_built_and_a_chute_is_pulled_and_never_delivered() -> None:
    for lab, monitoring in itertools.product((True, False), repeat=2):
        for role in NodeRole:
            held = images_for(role, lab=lab, monitoring=monitoring)
            assert set(held) <= set(images_built(lab=lab, monitoring=monitoring))
            assert len(set(held)) == len(held)
            assert ImageName.LAB_CHUTE not in held


def test_monitoring_adds_its_images_to_production_and_nothing_to_a_lab() -> None:
    added = set(images_built(lab=False, monitoring=True)) - set(images_built(lab=False))
    assert added == {ImageName.PROMETHEUS, ImageName.NODE_EXPORTER}
    assert images_built(lab=True, monitoring=True) == images_built(lab=True, monitoring=False)


def test_gpu_nodes_hold_no_database_and_the_control_host_no_agent() -> None:
    shared = set(images_for(NodeRole.CONTROL, lab=True)) & set(images_for(NodeRole.GPU, lab=True))
    assert shared == {ImageName.PROMETHEUS, ImageName.NODE_EXPORTER}
