"""The process that holds the closed library: JSON questions in, JSON answers out, on a socket that it inherits.

Whatever the library prints goes to the error output. Nothing but bytes crosses to the parent, which trusts none of it.
"""

import base64
import json
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from graval.official.interface import MinerLibrary, OfficialError, Sealed


def answer(library: MinerLibrary, question: dict[str, object]) -> object:
    """One question. Raises OfficialError; KeyError, TypeError or ValueError for a question that is malformed."""
    match question:
        case {"ask": "devices"}:
            return [describe(library, index) for index in range(library.device_count)]
        case {"ask": "prove", "seed": int(seed), "iterations": int(iterations)}:
            library.prove(seed, iterations)
            return [library.work_product(index) for index in range(library.device_count)]
        case {"ask": "decrypt", "device": int(index), "seed": int(seed), "sealed": str(sealed)}:
            data = base64.b64decode(sealed, validate=True)
            return library.decrypt(index, Sealed(seed, data[:16], data[16:]))
        case {"ask": "device_challenge", "challenge": str(challenge)}:
            return library.device_challenge(challenge)
    raise OfficialError(f"no such question: {str(question.get('ask'))[:40]}")


def describe(library: MinerLibrary, index: int) -> dict[str, object]:
    """The six public fields."""
    info = library.device(index)
    return {
        "uuid": info.uuid.decode("ascii", errors="replace"),
        "name": info.name.decode("ascii", errors="replace"),
        "memory": info.memory,
        "processors": info.processors,
        "clock_rate": info.clock_rate,
        "max_threads_per_processor": info.max_threads_per_processor,
    }


def main(descriptor: int, path: Path) -> None:
    """Serve one parent until it goes away."""
    os.dup2(2, 1)
    connection = Connection(descriptor)
    try:
        library = MinerLibrary(path)
    except OfficialError as error:
        connection.send_bytes(json.dumps({"fatal": str(error)}).encode())
        return
    connection.send_bytes(b'{"ready": true}')
    while True:
        try:
            question = json.loads(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            library.close()
            return
        try:
            reply = {"answer": answer(library, question)}
        except (OfficialError, ValueError) as error:
            reply = {"error": str(error)}
        connection.send_bytes(json.dumps(reply).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
