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


def own_context(certificate: str, own_certificate: str = "", own_key: str = "") -> ssl.SSLContext:
    """Return how a command of this machine trusts the engine: it must show this certificate.

    Args:
        certificate: PEM file that the engine shows.
        own_certificate: PEM file that the command shows; empty: none.
        own_key: PEM file of its key.

    Raises:
        OSError: a file cannot be read, or is no certificate.
    """
    import ssl

    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False  # it is reached by its address; the certificate is pinned
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if own_certificate:
        context.load_cert_chain(own_certificate, own_key)
    return context
