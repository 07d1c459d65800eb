"""Routes over HTTP: an OSRM-compatible interface, an interface of our own, and a page with a map.

`trodden.routing.service.app.make_app` makes the application; ``trodden serve`` runs it. Needs the extra ``[serve]``.
"""
