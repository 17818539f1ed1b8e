"""Who reviewers are: webhooks and lists of tasks give numbers of users, people read e-mail addresses."""

from shoal.decisions import Decisions, Surface
from shoal_ls.client import Server
from shoal_ls.errors import ServerError


def learn_names(surface: Surface, server: Server, decisions: Decisions) -> Surface:
    """Return a surface that knows the names of the server's users, and remember them.

    A user who may not list the others learns nothing; numbers do as well.
    """
    try:
        names = {f"user:{number}": name for number, name in server.users().items()}
    except ServerError as error:
        if error.status not in (403, 404):
            raise
        return surface
    known = surface.model_copy(update={"facts": {**surface.facts, **names}})
    if known != surface:
        decisions.add_surface(known)
    return known
