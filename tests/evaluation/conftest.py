from hypothesis import settings

# a shared or busy machine is slow, which says nothing about the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
