"""What a simulated device says of itself, from the product name that a lab's device plugin reports.

Used on both sides of a lab: by the miner API for a node's bootstrap service, and by the stand-in chute.
"""

from app.protocol.gpus import match_device_name
from graval.backends.simulated import MARK, SimulatedModel


def is_simulated_product(product: str) -> bool:
    """Whether a node's label `nvidia.com/gpu.product` says that its GPUs do not exist."""
    return product.startswith(MARK)


def model_of_product(product: str) -> SimulatedModel:
    """The description of a model by its marked product name, such as `SIMULATED-NVIDIA-H100-80GB-HBM3`.

    Raises:
        ValueError: the name is not marked, or no GPU of the catalogue has it.
    """
    name = product.replace("-", " ")
    model = match_device_name(name)
    if not is_simulated_product(product) or model is None:
        raise ValueError(f"wanted a product that begins with {MARK} and names a known GPU, got {product[:80]!r}")
    return SimulatedModel(
        name=name,
        memory=model.memory_gb * 10**9,
        processors=model.multiprocessors,
        clock_rate=model.clock_boost_mhz * 1000,
        max_threads_per_processor=model.max_threads_per_processor,
    )
