"""What holds for every test."""

from hypothesis import settings

# A busy machine is no finding: speed is shown by bench/.
settings.register_profile("pointsman", deadline=None)
settings.load_profile("pointsman")
