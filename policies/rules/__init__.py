"""The rules of a fleet as pure functions over plain data; they import nothing of ours but `app.protocol`.

Settings, the program, the host runner's preflight and the policy pack call the same functions (D8).
"""
