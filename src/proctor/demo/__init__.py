"""A model server and an agent to try Proctor on, without an account or a network.

Nothing here knows Proctor, and no other room imports this one: the observed
programs must be as strange to it as any other.
"""
