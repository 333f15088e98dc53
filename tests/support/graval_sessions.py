"""Small sessions of the GPU proof for tests. The devices are made up and say so in their names."""

from graval.session import DeviceDescription, Session, WorkParameters

NO_STATE = bytes(32)


def made_up_device(uuid: str = "0123456789abcdef0123456789abcdef") -> DeviceDescription:
    """The device of the published vectors; no such GPU exists."""
    return DeviceDescription(
        uuid=uuid,
        name="TEST GPU 0",
        memory=1073741824,
        processors=4,
        clock_rate=1500000,
        max_threads_per_processor=1024,
    )


def small_parameters(**changed: int) -> WorkParameters:
    """The parameters of the published vectors, with changes."""
    values = {"inner": 64, "columns": 8, "chain_length": 2, "rows": 32, "rounds": 2, "tile_rows": 16, "lanes": 4}
    return WorkParameters(**(values | changed))


def vector_session(parameters: WorkParameters | None = None) -> Session:
    """The session of the published vectors (spec: graval 7.1)."""
    return Session(
        device=made_up_device(),
        parameters=parameters or small_parameters(),
        nonce=bytes(range(32)),
        prover_public_key=b"\x11" * 32,
        verifier_identity="validator",
        miner_identity="miner",
    )
