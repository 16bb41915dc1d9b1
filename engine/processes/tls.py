"""TLS of the API: what the server is given, and how this machine's own commands reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from engine.config_people import AccessConfig


def tls_options(access: AccessConfig) -> dict[str, Any]:
    """Return what the server is given to speak TLS; nothing where no certificate is named."""
    if not access.tls_certificate:
        return {}
    found: dict[str, Any] = {
        "ssl_certfile": access.tls_certificate,
        "ssl_keyfile": access.tls_key,
    }
    if access.tls_client_ca:
        import ssl

        found |= {"ssl_ca_certs": access.tls_client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return found


def own_context(certificate: str) -> ssl.SSLContext:
    """Return how a command of this machine trusts the engine: it must show this certificate."""
    import ssl

    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False  # it is reached by its address; the certificate is pinned
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
