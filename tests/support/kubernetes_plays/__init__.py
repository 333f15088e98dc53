"""Scripts that play the engine to a `kubernetes` provider, and the comparison with recorded answers.

A play is run against a provider process and a real API server. The provider gets its own earlier answers as old state,
as it would from the engine, so the requests differ from the recorded ones and only the answers are compared.
"""
