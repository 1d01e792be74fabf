"""Examines a deployed stack, or the local server, from outside: reads its books back and says what does not balance."""
