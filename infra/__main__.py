"""What the engine starts. The program itself is `infra.program`."""

from infra.program import main

main()
